"""Data sets as uint8 arrays and labels, read from disk.

`load(name, split)` gives every data set in one form. CIFAR-10 is read from a tree of image files and decoded once into
a cache; clay10 ships with the package.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import errors, images

CLAY10_SHEETS = Path(__file__).parent / "clay10" / "sheets"
CLAY10_SIZE = 96  # px, side of one picture on a sheet
CLAY10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")

Progress = Callable[[Iterable[Path], int], Iterable[Path]]


@dataclass(frozen=True)
class Dataset:
    """One split of a data set."""

    name: str
    split: str
    images: np.ndarray  # uint8 (N, H, W, 3); may be mapped from disk
    labels: np.ndarray  # int64 (N,), numbers of `classes`
    classes: tuple[str, ...]
    mean: tuple[float, float, float]  # of the training split, red, green, blue, in 0..1
    std: tuple[float, float, float]
    description: str  # for logs, cards and figures: what these images are
    licence: str

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


def data_root() -> Path:
    """Return where data sets are looked for: $RRZOO_DATA, else ~/.cache/rrzoo/data."""
    return Path(os.environ.get("RRZOO_DATA") or "~/.cache/rrzoo/data").expanduser()


def cache_root() -> Path:
    """Return where decoded images are kept: $RRZOO_CACHE, else ~/.cache/rrzoo/decoded."""
    return Path(os.environ.get("RRZOO_CACHE") or "~/.cache/rrzoo/decoded").expanduser()


def names() -> tuple[str, ...]:
    """Return the names that `load` knows."""
    return tuple(_LOADERS)


def load(name: str, split: str = "train", root: Path | None = None, progress: Progress | None = None) -> Dataset:
    """Load one split of a data set.

    Args:
        name: one of `names()`.
        split: "train" or "test".
        root: folder that holds the data set's own folder; default `data_root()`. clay10 needs none.
        progress: wraps the files that are decoded, given their number; for a progress bar.

    Raises:
        errors.DatasetError: it is unknown, absent, incomplete, or holds a broken image.
    """
    if name not in _LOADERS:
        raise errors.DatasetError(f"no data set is called {name!r}: {errors.choices(name, _LOADERS)}")
    if split not in ("train", "test"):
        raise errors.DatasetError(f"{name} has no split {split!r}: it has train and test")
    return _LOADERS[name](split, data_root() if root is None else Path(root), progress)


def _load_cifar10(split: str, root: Path, progress: Progress | None) -> Dataset:
    folder = root / "cifar10" / split
    if not folder.is_dir():
        raise errors.DatasetError(
            f"{folder} is not there: put CIFAR-10's images into {root}/cifar10/{{train,test}}/<class>/, "
            "or name the folder that holds cifar10/ with --data or $RRZOO_DATA"
        )
    pixels, labels, classes, files = decode_tree(folder, progress)
    if pixels.shape[1:] != (32, 32, 3) or len(classes) != 10:
        raise errors.DatasetError(
            f"{folder} holds {len(classes)} classes of {pixels.shape[2]} x {pixels.shape[1]} px images: "
            "CIFAR-10 has 10 classes of 32 x 32 px"
        )
    jpeg = " (JPEG-coded copy)" if files[0].lower().endswith((".jpg", ".jpeg")) else ""
    return Dataset(
        name="cifar10",
        split=split,
        images=pixels,
        labels=labels,
        classes=classes,
        mean=(0.491, 0.482, 0.447),  # those of the paper's code
        std=(0.247, 0.243, 0.262),
        description=f"CIFAR-10{jpeg}",
        licence="none stated by its authors (Krizhevsky 2009); in use for research",
    )


def _load_clay10(split: str, root: Path, progress: Progress | None) -> Dataset:
    """Cut the contact sheets that ship with the package, one a class, into pictures."""
    per_class = []
    for name in CLAY10_CLASSES:
        sheet = images.read(CLAY10_SHEETS / split / f"{name}.webp")
        down, across = sheet.shape[0] // CLAY10_SIZE, sheet.shape[1] // CLAY10_SIZE
        pictures = sheet.reshape(down, CLAY10_SIZE, across, CLAY10_SIZE, 3).swapaxes(1, 2)
        per_class.append(pictures.reshape(-1, CLAY10_SIZE, CLAY10_SIZE, 3))
    return Dataset(
        name="clay10",
        split=split,
        images=np.concatenate(per_class),
        labels=np.repeat(np.arange(len(per_class)), [len(pictures) for pictures in per_class]),
        classes=CLAY10_CLASSES,
        mean=(0.534, 0.540, 0.463),
        std=(0.235, 0.221, 0.266),
        description="clay10 (rendered clay figures)",
        licence="Apache-2.0, as rrzoo itself",
    )


_LOADERS = {"cifar10": _load_cifar10, "clay10": _load_clay10}


def decode_tree(
    folder: Path, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], list[str]]:
    """Decode `folder`/<class>/<image files>, all of one size, or take them from the cache if nothing changed.

    The cache entry is written beside its place and renamed when whole, so a crash leaves none, and two processes that
    decode at once both end with a whole one.

    Returns:
        images uint8 (N, H, W, 3), mapped from disk; labels int64 (N,); class names, sorted; the files' names.

    Raises:
        errors.DatasetError: no images, an unreadable one, or one of another size; the message names it.
    """
    files, labels, classes = _list_tree(folder)
    entry = cache_root() / f"{folder.parent.name}-{folder.name}-{_fingerprint(folder, files)}"
    if not entry.is_dir():
        entry.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=entry.parent))
        try:
            np.save(unfinished / "images.npy", _decode(files, progress))
            (unfinished / "source.json").write_text(json.dumps({"folder": str(folder), "files": len(files)}))
            with contextlib.suppress(OSError):  # another process was first: its entry is as good
                unfinished.rename(entry)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    pixels = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    return pixels, labels, classes, [path.name for path in files]


def _list_tree(folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."))
    per_class = [images.find(folder / name) for name in classes]
    if empty := [name for name, found in zip(classes, per_class, strict=True) if not found]:
        raise errors.DatasetError(f"{folder / empty[0]} holds no images: every class folder needs some")
    if not classes:
        raise errors.DatasetError(f"{folder} holds no class folders: images belong into {folder}/<class>/")
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in per_class])
    return [path for found in per_class for path in found], labels, classes


def _fingerprint(folder: Path, files: list[Path]) -> str:
    """Hash where the files are, their names, sizes and times, so that any change makes a new cache entry."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path in files:
        stat = path.stat()
        digest.update(f"\n{path.relative_to(folder)}\t{stat.st_size}\t{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _decode(files: list[Path], progress: Progress | None) -> np.ndarray:
    pixels: np.ndarray | None = None
    for row, path in enumerate(progress(files, len(files)) if progress else files):
        try:
            image = images.read(path)
        except errors.ImageError as problem:
            raise errors.DatasetError(f"{path}: {problem}. Replace or remove it, then start again") from None
        if pixels is None:
            pixels = np.empty((len(files), *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise errors.DatasetError(
                f"{path} is {image.shape[1]} x {image.shape[0]} px: "
                f"the images before it are {pixels.shape[2]} x {pixels.shape[1]} px"
            )
        pixels[row] = image
    assert pixels is not None  # _list_tree found files
    return pixels
