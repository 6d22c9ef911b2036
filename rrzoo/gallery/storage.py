"""A gallery on disk: `index.faiss`, `gallery.safetensors`, and `gallery.json` with the SHA-256 of the other two.

While a folder is indexed, `.unfinished/` beside them keeps what is done, one file a batch. Every file is written
under another name and then renamed: whatever ends a run, no name stands for half a file.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save_file as save_tensors

from rrzoo import errors
from rrzoo.gallery import batches
from rrzoo.gallery.thumbnails import Thumbnails
from rrzoo.records import from_dict

FOLDER = "gallery"  # in a model folder
INDEX = "index.faiss"
TENSORS = "gallery.safetensors"
MANIFEST = "gallery.json"
UNFINISHED = ".unfinished"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """All of `gallery.json`."""

    model: str
    fingerprint: str  # of the model
    rows: int
    dimension: int
    metric: str  # "cosine"
    classes: tuple[str, ...]
    sources: tuple[str, ...]  # one a row
    dataset: str | None  # name/split, where the pictures are those of a data set that ships with the package
    sha256: dict[str, str]  # of the other two files
    description: str | None = None  # what the images are, where a data set says so
    format: int = FORMAT


def write(folder: Path, manifest: Manifest, index: bytes, tensors: dict[str, np.ndarray]) -> None:
    """Write the three files. The manifest comes last: what is interrupted before is refused.

    Args:
        folder: where to.
        manifest: all but the checksums.
        index: a serialised FAISS index.
        tensors: what goes into `gallery.safetensors`.

    Raises:
        errors.GalleryError: the folder can't be written, or there is no room.
    """
    unfinished = {name: folder / f".{name}.{os.getpid()}" for name in (INDEX, TENSORS, MANIFEST)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished[INDEX].write_bytes(index)
        save_tensors(tensors, unfinished[TENSORS])
        unfinished[TENSORS].chmod(unfinished[INDEX].stat().st_mode)  # safetensors makes its files private
        manifest = replace(manifest, sha256={name: _sha256(unfinished[name]) for name in (INDEX, TENSORS)})
        unfinished[MANIFEST].write_text(json.dumps(asdict(manifest), indent=1))
        for name, path in unfinished.items():
            path.replace(folder / name)
    except (OSError, SafetensorError) as problem:
        raise _no_room(folder, problem) from None
    finally:
        with contextlib.suppress(OSError):
            for path in unfinished.values():
                path.unlink(missing_ok=True)


def files(folder: Path) -> list[str]:
    """Return the names of the files in the folder of a gallery; none where there is no gallery."""
    return [name for name in (MANIFEST, INDEX, TENSORS) if (folder / name).is_file()]


def read(folder: Path) -> tuple[Manifest, bytes, dict[str, np.ndarray]]:
    """Read what `write` wrote.

    Raises:
        errors.GalleryError: a file is missing or damaged.
    """
    try:
        manifest = from_dict(Manifest, json.loads((folder / MANIFEST).read_bytes()))
        files = {name: (folder / name).read_bytes() for name in (INDEX, TENSORS)}
    except FileNotFoundError as problem:
        raise errors.GalleryError(
            f"{problem.filename} is not there: a gallery is {INDEX}, {TENSORS} and {MANIFEST}; "
            "build one with Gallery.build"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, errors.ArgumentError) as problem:
        raise damaged(folder, f"{MANIFEST}: {problem}") from None
    if manifest.format != FORMAT or manifest.metric != "cosine":
        raise damaged(folder, f"format {manifest.format} with metric {manifest.metric!r} is not known here")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest.sha256.get(name):
            raise damaged(folder, f"{name} is not the file that {MANIFEST} lists")
    try:
        return manifest, files[INDEX], load_tensors(files[TENSORS])
    except SafetensorError as problem:
        raise damaged(folder, str(problem)) from None


def damaged(folder: Path, problem: str) -> errors.GalleryError:
    """Return the error for a gallery that can't be used."""
    return errors.GalleryError(f"the gallery in {folder} is damaged ({problem}): build it anew with Gallery.build")


@dataclass
class Rows:
    """Images as a gallery keeps them."""

    unit: np.ndarray  # float32 (N, D): features scaled to unit length
    lengths: np.ndarray  # float32 (N,): of the features before that
    thumbnails: Thumbnails | None  # None where the images ship with the package
    sources: list[str]  # N
    labels: list[str | None]  # N
    stamps: np.ndarray | None = None  # int64 (N, 2) of a folder's files: see `batches.Stamp`


class Unfinished:
    """The batches that unfinished runs of one model have left for the gallery in a folder."""

    def __init__(self, gallery: Path, fingerprint: str) -> None:
        """Look beside the files of a gallery."""
        self.folder = gallery / UNFINISHED
        self.fingerprint = fingerprint

    def read(self) -> Iterator[Rows]:
        """Yield all batches; what is of another model or can't be read is left out."""
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, "numpy") as file:
                    about = file.metadata() or {}
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
                sources = json.loads(about["sources"])
                thumbnails = Thumbnails(tensors["thumbnails"], tensors["ends"])
                stamps, labels = tensors["stamps"], [batches.class_of(source) for source in sources]
                rows = Rows(tensors["unit"], tensors["lengths"], thumbnails, sources, labels, stamps)
            except (SafetensorError, OSError, KeyError, ValueError):
                continue
            counts = {len(part) for part in (rows.unit, rows.lengths, thumbnails.ends, sources, stamps)}
            if about.get("fingerprint") == self.fingerprint and len(counts) == 1:
                yield rows

    def add(self, rows: Rows) -> None:
        """Keep one more batch of a folder's images.

        Raises:
            errors.GalleryError: the folder can't be written, or there is no room.
        """
        name = uuid.uuid4().hex  # two runs at once must not meet
        beside = self.folder / f".{name}"
        assert rows.stamps is not None
        assert rows.thumbnails is not None
        tensors = {"unit": rows.unit, "lengths": rows.lengths, "stamps": rows.stamps}
        tensors |= {"thumbnails": rows.thumbnails.content, "ends": rows.thumbnails.ends}
        about = {"fingerprint": self.fingerprint, "sources": json.dumps(rows.sources)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_tensors(tensors, beside, about)
            beside.replace(self.folder / f"{name}.safetensors")
        except (OSError, SafetensorError) as problem:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise _no_room(self.folder, problem) from None

    def clear(self) -> None:
        """Remove all batches."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _no_room(folder: Path, problem: Exception) -> errors.GalleryError:
    return errors.GalleryError(
        f"the gallery can't be written to {folder} ({problem}): make room there, or name another folder"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
