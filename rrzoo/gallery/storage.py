"""A gallery on disk: a folder of a manifest and the files of one generation.

    manifest.json               whose features, of what, how many, and the SHA-256 of the other files
    features-3.safetensors      unit, lengths, perhaps relation          of the third generation; see `rows.Rows`
    rows-3.safetensors          labels, sources, source_ends, and of a folder's files stamps
    thumbnails-3.safetensors    thumbnails, thumbnail_ends

A gallery of splits that are shown from where they lie (`pictures.IN_PLACE`) has no thumbnails and no sources.

Saving writes a new generation beside the old one, and then switches: the manifest is replaced by one rename. Whatever
ends a run, the folder holds the old gallery or the new one, whole. The next save removes what a killed one has left.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save_file

from rrzoo import datasets, errors
from rrzoo import files as rrzoo_files
from rrzoo.gallery.pictures import IN_PLACE
from rrzoo.gallery.rows import Rows, Split
from rrzoo.records import MOST_BYTES, from_dict, parse

FOLDER = "gallery"  # in a model folder
MANIFEST = "manifest.json"
FORMAT = 3  # 2, which is read, has features in float32, and of a data set one split at most
PARTS = {
    "features": ("unit", "lengths", "relation"),
    "rows": ("labels", "sources", "source_ends", "stamps"),
    "thumbnails": ("thumbnails", "thumbnail_ends"),
}
FORMAT_1 = ("gallery.json", "gallery.safetensors", "index.faiss")  # files of the older format, which is not read
LOCK = ".lock"


@dataclass(frozen=True)
class GalleryManifest:
    """All of a gallery's manifest.json."""

    model: str
    fingerprint: str  # of the model
    dimension: int
    metric: str  # "cosine"
    rows: int
    classes: tuple[str, ...]
    description: str | None  # what the images are, where a data set says so
    splits: tuple[Split, ...] = ()  # whose images the pictures are; empty: the gallery has thumbnails
    generation: int = 0  # from 1
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256, of this generation's files
    format: int = FORMAT
    folder: str | None = None  # that the pictures are in, without links: see `folders.identity`


def is_gallery(folder: Path) -> bool:
    """Return whether a folder holds a gallery, of whatever format, perhaps damaged."""
    names = {path.name for path in folder.glob("*")}
    return FORMAT_1[0] in names or any(map(_generation, names)) or _owns_manifest(folder) is True


def files(folder: Path) -> list[str]:
    """Return the names of the files of the gallery in a folder, with the manifest; none if there is no gallery.

    Raises:
        errors.GalleryError: the manifest is damaged.
    """
    if not (folder / MANIFEST).exists():
        return []
    return [MANIFEST, *_read_manifest(folder).files]


def write(folder: Path, manifest: GalleryManifest, rows: Rows) -> None:
    """Write the next generation of the gallery in a folder, and remove the others.

    Args:
        folder: where to.
        manifest: all but generation and files.
        rows: what it describes.

    Raises:
        errors.GalleryError: the folder can't be written, there is no room, another process is writing there, or the
            manifest.json that is there belongs to something else.
    """
    if _owns_manifest(folder) is False:  # of a model folder, or of a user's images
        raise errors.GalleryError(
            f"{folder} holds a {MANIFEST} that is no gallery's: name a folder for the gallery alone"
        )
    try:
        with _only_writer(folder):
            generation = 1 + max((_generation(path.name) for path in folder.iterdir()), default=0)
            tensors = rows.tensors()
            written = {}
            for part, names in PARTS.items():
                name = _name(part, generation)
                present = {tensor: tensors[tensor] for tensor in names if tensor in tensors}
                if present:
                    with rrzoo_files.new_file(folder / name) as path:
                        save_file(present, path)
                    written[name] = rrzoo_files.sha256(folder / name)
            text = json.dumps(asdict(replace(manifest, generation=generation, files=written)), indent=1)
            rrzoo_files.write(folder / MANIFEST, f"{text}\n")
            _remove_others(folder, {MANIFEST, *written})
    except BlockingIOError:
        raise errors.GalleryError(f"another process is writing the gallery in {folder}: wait for its end") from None
    except (OSError, SafetensorError) as problem:
        raise cannot_write(folder, problem) from None


def read(folder: Path) -> tuple[GalleryManifest, Rows]:
    """Read what `write` wrote; all of it is checked.

    Raises:
        errors.GalleryError: a file is missing or damaged, or of another format.
    """
    manifest = _read_manifest(folder)
    try:
        for name in manifest.files:
            rrzoo_files.check_regular(folder / name)
            with safe_open(folder / name, "numpy"):  # reads the head alone: what is no such file takes no memory
                pass
        contents = {name: rrzoo_files.content(folder / name) for name in manifest.files}
    except FileNotFoundError as problem:
        if _read_manifest(folder).generation != manifest.generation:  # another process has just saved
            return read(folder)
        raise damaged(folder, f"{Path(problem.filename).name} is not there") from None
    except SafetensorError as problem:
        raise damaged(folder, f"{name} is not the file that {MANIFEST} lists: {problem}") from None
    except OSError as problem:
        raise damaged(folder, str(problem)) from None
    tensors: dict[str, np.ndarray] = {}
    for name, content in contents.items():
        if rrzoo_files.sha256(content) != manifest.files[name]:
            raise damaged(folder, f"{name} is not the file that {MANIFEST} lists")
    try:
        for content in contents.values():
            tensors |= load_tensors(content)
        rows = Rows.from_tensors(tensors, len(manifest.classes), manifest.splits)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as problem:  # Attribute: of float8
        raise damaged(folder, str(problem)) from None
    if rows.unit.shape != (manifest.rows, manifest.dimension):
        raise damaged(folder, f"its features are {rows.unit.shape}, not {(manifest.rows, manifest.dimension)}")
    return manifest, rows


def read_manifest(folder: Path) -> GalleryManifest | None:
    """Return the manifest of the gallery in a folder; None where there is none that can be read."""
    try:
        return _read_manifest(folder)
    except errors.GalleryError:
        return None


def check_owner(folder: Path, source: str) -> None:
    """Refuse to index the pictures of one folder into the gallery of another.

    Raises:
        errors.GalleryError: it is another's.
    """
    manifest = read_manifest(folder)
    if manifest is not None and manifest.folder not in (None, source):
        raise errors.GalleryError(
            f"{folder} holds the gallery of {manifest.folder}, not of {source}: name another folder for this one"
        )


def damaged(folder: Path, problem: str) -> errors.GalleryError:
    """Return the error for a gallery that can't be used."""
    return errors.GalleryError(f"the gallery in {folder} is damaged ({problem}): {_how_to_build()}")


def cannot_write(folder: Path, problem: Exception) -> errors.GalleryError:
    """Return the error for a gallery that can't be written."""
    return errors.GalleryError(
        f"the gallery can't be written to {folder} ({problem}): make room there, or name another folder"
    )


def _read_manifest(folder: Path) -> GalleryManifest:
    older = errors.GalleryError(f"the gallery in {folder} is of an older format: {_how_to_build()}")
    try:
        data = parse(rrzoo_files.content(folder / MANIFEST, MOST_BYTES))
        known = isinstance(data, dict) and "fingerprint" in data
        if not known and (folder / FORMAT_1[0]).exists():
            raise older
        if known and data.get("format") == 2:
            data = _of_format_2(data)
        if known and data.get("format") != FORMAT:
            raise errors.GalleryError(
                f"the gallery in {folder} is of format {data.get('format')!r:.20}, this version reads {FORMAT}: "
                f"upgrade rrzoo, or {_how_to_build()}"
            )
        manifest = from_dict(GalleryManifest, data)
        _check(manifest)
    except FileNotFoundError:
        if (folder / FORMAT_1[0]).exists():
            raise older from None
        raise errors.GalleryError(f"{folder} holds no {MANIFEST}, so no gallery: {_how_to_build()}") from None
    except errors.GalleryError:
        raise
    except (OSError, ValueError, RecursionError) as problem:  # JSON and Unicode errors are ValueErrors, and ours
        raise damaged(folder, f"{MANIFEST}: {problem}") from None
    return manifest


def _of_format_2(data: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest of format 2 says, in the fields of this one."""
    rest = {name: value for name, value in data.items() if name != "dataset"}
    name, _, split = str(data.get("dataset")).partition("/")
    splits = [{"dataset": name, "split": split, "rows": data.get("rows")}] if data.get("dataset") is not None else []
    return rest | {"splits": splits, "format": FORMAT}


def _check(manifest: GalleryManifest) -> None:
    """Refuse what `write` would not write.

    Raises:
        ValueError: it is so.
    """
    if manifest.metric != "cosine" or min(manifest.generation, manifest.rows, manifest.dimension) < 1:
        raise ValueError("metric, generation, rows or dimension is out of range")
    for one in manifest.splits:
        if one.dataset not in IN_PLACE or one.split not in datasets.labelled_splits(one.dataset) or one.rows < 1:
            raise ValueError(f"{one.rows} images of {one.dataset}/{one.split} are nothing that a gallery shows")
    parts = set(PARTS) - ({"thumbnails"} if manifest.splits else set())
    names = {_name(part, manifest.generation) for part in parts}
    if manifest.files.keys() != names:
        raise ValueError(f"it lists other files than {', '.join(sorted(names))}")


def _owns_manifest(folder: Path) -> bool | None:
    """Return whether the manifest.json of a folder is a gallery's, or something else's; None: none, or damaged."""
    try:
        data: Any = json.loads(rrzoo_files.content(folder / MANIFEST, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return isinstance(data, dict) and "fingerprint" in data


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from writing there.

    The lock's file goes afterwards, so that the folder holds the gallery alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with rrzoo_files.lock(folder / LOCK):
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove older generations, and what killed runs have left; but nothing that is not a gallery's."""
    rrzoo_files.remove_abandoned(folder)
    for path in folder.iterdir():
        if (_generation(path.name) or path.name in FORMAT_1) and path.name not in kept:
            path.unlink(missing_ok=True)


def _name(part: str, generation: int) -> str:
    return f"{part}-{generation}.safetensors"


def _generation(name: str) -> int:
    """Return the generation that a file is of, or 0 where its name is no gallery's."""
    match = re.fullmatch(rf"(?:{'|'.join(PARTS)})-([1-9]\d{{0,17}})\.safetensors", name, re.ASCII)
    return int(match[1]) if match else 0


def _how_to_build() -> str:
    return "build it anew with Gallery.build, or: python -m rrzoo index"
