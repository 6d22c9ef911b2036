"""What a data set is, what is known of it before it is there, and where data sets and decoded images are kept."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo.images import ImageArray
from rrzoo.progress import WrapIterable

BLOCK = 256  # images at a time where all of them are looked at


@dataclass(frozen=True)
class Dataset:
    """One split of a data set."""

    name: str
    split: str
    images: ImageArray  # uint8 (N, H, W, 3), perhaps on disk; where sizes differ, a sequence of uint8 (H, W, 3)
    labels: np.ndarray | None  # int64 (N,), numbers of `classes`; None where there are none
    classes: tuple[str, ...]
    mean: tuple[float, float, float]  # of the training split, red, green, blue, in 0..1
    std: tuple[float, float, float]
    statistics: str  # where mean and std come from
    description: str  # for logs, cards and figures: what these images are
    licence: str
    skipped: tuple[str, ...] = ()  # files that could not be read and were left out, as asked
    folds: np.ndarray | None = None  # int64 (folds, rows): predefined subsets of the training split to train a probe on

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def require_labels(self) -> np.ndarray:
        """Return the labels, int64 (N,).

        Raises:
            errors.DatasetError: there are none.
        """
        if self.labels is None:
            raise errors.DatasetError(f"the {self.split} split of {self.name} has no labels: choose one that has")
        return self.labels


@dataclass(frozen=True)
class Decoding:
    """How files are decoded."""

    progress: WrapIterable | None = None  # wraps the files; for a progress bar
    skip_broken: bool = False  # leave out what can't be read, instead of an error
    square: int | None = None  # px: scale images to squares of this side
    most: int | None = None  # of a folder's files, take so many at most, drawn by a hash of their paths


@dataclass(frozen=True)
class Archive:
    """One file that holds a data set."""

    url: str
    size: int  # bytes
    md5: str
    holds: str  # the folder in it
    unpacked: int  # bytes, about


@dataclass(frozen=True)
class Record:
    """What is known of a data set, whether it is on this machine or not. A loader's module holds the records it loads.

    `load(record, split, root, how)` returns a split; `root` is the folder that holds data sets.
    """

    name: str
    title: str  # what a figure that was measured on it is said to be of
    load: Callable[["Record", str, Path, Decoding], Dataset]
    splits: Mapping[str, int]  # -> number of images, 0 where its authors state none; the training split first
    test_split: str  # the split to measure on
    class_count: int
    image_size: int  # px, both sides
    licence: str
    source: str  # authors, year, and where they describe it
    archive: Archive | None = None
    by_hand: str = ""  # how to get it where there is no archive to fetch
    unlabelled: tuple[str, ...] = ()  # splits
    md5: Mapping[str, str] = field(default_factory=dict)  # of files, by name
    copy: str = ""  # what is added to the title where the files at hand are others than those distributed
    hub: str | None = None  # id of the same images on the Hugging Face Hub

    def describe(self, copied: bool) -> str:
        """Return the description of what was loaded: `copied`, if its files are not those that were distributed."""
        return f"{self.title} ({self.copy})" if copied else self.title

    @property
    def how_to_get(self) -> str:
        """What to do where it is not at hand."""
        if self.archive is None:
            return self.by_hand
        return f"fetch it ({in_words(self.archive.size)}) with: python -m rrzoo data {self.name} --download"

    def absent(self, place: Path) -> errors.DatasetAbsentError:
        """Return the error for a data set that is not at `place`; it says how to get it."""
        return errors.DatasetAbsentError(
            f"{self.name} is not at {place}: {self.how_to_get}; or name the folder that holds it with "
            "--data or $RRZOO_DATA"
        )


def in_words(size: int) -> str:
    """Return a number of bytes as MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def md5(path: Path) -> str:
    """Return the MD5 sum of a file, in hexadecimal digits: what the authors of data sets publish."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def data_root() -> Path:
    """Return where data sets are looked for: $RRZOO_DATA, else ~/.cache/rrzoo/data."""
    return Path(os.environ.get("RRZOO_DATA") or "~/.cache/rrzoo/data").expanduser()


def cache_root() -> Path:
    """Return where decoded images are kept: $RRZOO_CACHE, else ~/.cache/rrzoo/decoded."""
    return Path(os.environ.get("RRZOO_CACHE") or "~/.cache/rrzoo/decoded").expanduser()


def measure(images: ImageArray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation of red, green and blue over all pixels of all images, in 0..1."""
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for start in range(0, len(images), BLOCK):
        for image in images[start : start + BLOCK]:
            pixels = image.reshape(-1, 3).astype(np.float64)
            count += len(pixels)
            total += np.ones(len(pixels)) @ pixels
            squares += np.einsum("pc,pc->c", pixels, pixels)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))  # no channel is divided by 0
    red, green, blue = (round(float(value) / 255, 4) for value in mean)
    red_std, green_std, blue_std = (round(float(value) / 255, 4) for value in std)
    return (red, green, blue), (red_std, green_std, blue_std)
