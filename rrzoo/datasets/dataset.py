"""What a data set is, and where data sets and decoded images are kept."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo.images import ImageArray

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


def absent(name: str, place: Path, how: str) -> errors.DatasetError:
    """Return the error for a data set that is not on this machine; `how` says how to get it."""
    return errors.DatasetError(
        f"{name} is not at {place}: {how}; or name the folder that holds it with --data or $RRZOO_DATA"
    )


def fetch_with(name: str, size: str) -> str:
    """Say how to download a data set, and how large that is."""
    return f"fetch it ({size}) with: python -m rrzoo data {name} --download"
