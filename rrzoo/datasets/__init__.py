"""Data sets as uint8 arrays and labels, read from disk.

    rrzoo.datasets.load("stl10", "unlabeled").images[[5, 70_000]]    # uint8 (2, 96, 96, 3), all else stays on disk
    rrzoo.datasets.load("dir:photos", size=64)                       # any folder, scaled to squares

`load(name, split)` gives every data set in one form; `names()` and `splits(name)` list them. Files of images are
decoded once into a cache. `python -m rrzoo data NAME --download` fetches what is absent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rrzoo import errors
from rrzoo.datasets import cifar, clay10, folder, imagenet, stl10
from rrzoo.datasets.cache import Decoding, Progress
from rrzoo.datasets.dataset import Dataset, cache_root, data_root

__all__ = ["Dataset", "Progress", "cache_root", "data_root", "labelled_splits", "load", "names", "splits", "test_split"]


@dataclass(frozen=True)
class _Source:
    """A data set by name."""

    load: Callable[[str, str, Path, Decoding], Dataset]  # name, split, root, how files are decoded
    splits: tuple[str, ...] = ("train", "test")
    test: str = "test"  # the split to measure on


_SOURCES = {
    "cifar10": _Source(cifar.load),
    "cifar100": _Source(cifar.load),
    "cifar100-20": _Source(cifar.load),
    "clay10": _Source(clay10.load),
    "slimagenet64": _Source(imagenet.load_slim, ("train", "val", "test")),
    "stl10": _Source(stl10.load, ("train", "test", "unlabeled")),
    "stl10-standin": _Source(stl10.load, ("train", "test", "unlabeled")),
    "tinyimagenet": _Source(imagenet.load_tiny, ("train", "val"), "val"),  # its test split has no labels
}


def names() -> tuple[str, ...]:
    """Return the names that `load` knows, beside "dir:" and the path of any folder."""
    return tuple(_SOURCES)


def splits(name: str) -> tuple[str, ...]:
    """Return the splits of a data set, the training split first.

    Raises:
        errors.DatasetError: no data set has that name.
    """
    if name.startswith(folder.PREFIX):
        return folder.splits(_path(name))
    return _source(name).splits


def labelled_splits(name: str) -> tuple[str, ...]:
    """Return the splits that have labels. See `splits`."""
    return tuple(split for split in splits(name) if split != "unlabeled")


def test_split(name: str) -> str:
    """Return the split to measure on: the last for a folder. See `splits`."""
    return splits(name)[-1] if name.startswith(folder.PREFIX) else _source(name).test


def load(
    name: str,
    split: str = "train",
    root: Path | None = None,
    progress: Progress | None = None,
    skip_broken: bool = False,
    size: int | None = None,
) -> Dataset:
    """Load one split of a data set.

    Args:
        name: one of `names()`; or "dir:" and the path of a folder of images, where the first folder below it is the
            class of an image, and folders called train, val and test are splits.
        split: one of `splits(name)`.
        root: folder that holds the data set's own folder; default `data_root()`. clay10 and "dir:" need none.
        progress: wraps the files that are decoded, given their number; for a progress bar.
        skip_broken: leave out image files that can't be read; `Dataset.skipped` and the description count them.
        size: px; of a folder, scale images to squares of this side.

    Raises:
        errors.DatasetError: it is unknown, absent, incomplete, or holds a broken image.
    """
    if split not in (known := splits(name)):
        raise errors.DatasetError(f"{name} has no split {split!r}: {errors.choices(split, known)}")
    how = Decoding(progress, skip_broken, size)
    if name.startswith(folder.PREFIX):
        dataset = folder.load(_path(name), split, how)
    elif size is not None:
        raise errors.DatasetError(f"size is {size}: the images of {name} have one size; it is for folders (dir:...)")
    else:
        dataset = _source(name).load(name, split, data_root() if root is None else Path(root), how)
    if dataset.skipped:
        left_out = f"{dataset.description}, {len(dataset.skipped):,} unreadable images left out"
        dataset = replace(dataset, description=left_out)
    return dataset


def _source(name: str) -> _Source:
    if name not in _SOURCES:
        raise errors.DatasetError(
            f"no data set is called {name!r}: {errors.choices(name, _SOURCES)}; or dir: and the path of a folder"
        )
    return _SOURCES[name]


def _path(name: str) -> Path:
    return Path(name.removeprefix(folder.PREFIX)).expanduser()
