"""STL-10 as its authors distribute it: images as bytes, channel by channel, column-major, mapped from disk.

A folder called stl10-standin holds other photographs in this format (see its generator): whatever is loaded from it
is called that.
"""

import functools
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo.datasets.cache import Decoding
from rrzoo.datasets.dataset import Dataset, absent, fetch_with, measure
from rrzoo.datasets.mapped import MappedImages

FOLDER = "stl10_binary"
STANDIN = "stl10-standin"
COUNTS = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}
SIZE = 96  # px
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
FOLDS, FOLD_IMAGES = 10, 1_000


def load(name: str, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of STL-10 or, called stl10-standin, of its stand-in. See `rrzoo.datasets.load`."""
    folder = root / name / FOLDER
    if name == "stl10" and not folder.is_dir():
        folder = root / FOLDER
    if not folder.is_dir():
        if name == STANDIN:
            raise errors.DatasetError(f"{folder} is not there: the stand-in's generator writes it (3.1 GB)")
        raise absent(name, folder, fetch_with(name, "2.6 GB"))
    standin = folder.parent.name == STANDIN
    train = _images(folder, "train")
    mean, std = _measured(str(folder / "train_X.bin"), (folder / "train_X.bin").stat().st_mtime_ns)
    return Dataset(
        name=STANDIN if standin else "stl10",
        split=split,
        images=train if split == "train" else _images(folder, split),
        labels=None if split == "unlabeled" else _labels(folder, split),
        classes=_classes(folder),
        mean=mean,
        std=std,
        statistics="computed from the 5,000 training images whenever they are loaded",
        description="STL-10 stand-in (Tiny-ImageNet and CIFAR-10 photographs), not STL-10" if standin else "STL-10",
        licence="none stated by the authors of "
        + ("Tiny-ImageNet and CIFAR-10" if standin else "STL-10 (Coates, Ng, Lee 2011); its images are ImageNet's")
        + "; in use for research",
        folds=_folds(folder) if split == "train" else None,
    )


def _images(folder: Path, split: str) -> MappedImages:
    path = folder / f"{split}_X.bin"
    _check_size(path, COUNTS[split] * SIZE * SIZE * 3)
    return MappedImages(path, (COUNTS[split], SIZE, SIZE, 3), column_major=True)


@functools.lru_cache(4)
def _measured(path: str, _changed: int) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return measure(_images(Path(path).parent, "train"))


def _labels(folder: Path, split: str) -> np.ndarray:
    path = folder / f"{split}_y.bin"
    _check_size(path, COUNTS[split])
    labels = np.fromfile(path, np.uint8)
    if wrong := np.flatnonzero((labels < 1) | (labels > len(CLASSES))).tolist():
        raise errors.DatasetError(
            f"{path} holds the label {labels[wrong[0]]} for image {wrong[0]}: labels are 1 to 10. Fetch it again"
        )
    return labels.astype(np.int64) - 1


def _classes(folder: Path) -> tuple[str, ...]:
    """Check the names that are there; where there are none, they are known."""
    path = folder / "class_names.txt"
    if path.exists() and tuple(path.read_text(errors="replace").split()) != CLASSES:
        raise errors.DatasetError(f"{path} does not hold STL-10's classes ({', '.join(CLASSES)}): fetch it again")
    return CLASSES


def _folds(folder: Path) -> np.ndarray | None:
    """Return the predefined folds, int64 (10, 1000), numbers of training images."""
    path = folder / "fold_indices.txt"
    if not path.exists():
        return None
    try:
        folds = np.array([line.split() for line in path.read_text().splitlines()], np.int64)
    except ValueError:  # lines of different lengths, or no numbers
        folds = np.empty((0, 0), np.int64)
    if folds.shape != (FOLDS, FOLD_IMAGES) or folds.min() < 0 or folds.max() >= COUNTS["train"]:
        raise errors.DatasetError(
            f"{path} does not hold {FOLDS} lines of {FOLD_IMAGES:,} numbers from 0 to {COUNTS['train'] - 1}: "
            "fetch it again"
        )
    return folds


def _check_size(path: Path, expected: int) -> None:
    if not path.is_file():
        raise errors.DatasetError(f"{path} is not there: an STL-10 folder holds it. Fetch the data set again")
    if (size := path.stat().st_size) != expected:
        what = "is cut short" if size < expected else "is too large"
        raise errors.DatasetError(f"{path} {what}: it has {size:,} bytes, not {expected:,}. Fetch it again")
