"""Data sets as uint8 arrays and labels, read from disk.

    rrzoo.datasets.load("stl10", "unlabeled").images[[5, 70_000]]    # uint8 (2, 96, 96, 3), all else stays on disk
    rrzoo.datasets.load("dir:photos", size=64)                       # any folder, scaled to squares

`load(name, split)` gives every data set in one form; `names()` and `splits(name)` list them. Files of images are
decoded once into a cache. `python -m rrzoo data NAME --download` fetches what is absent.
"""

from dataclasses import replace
from pathlib import Path

from rrzoo import errors
from rrzoo.datasets import folder
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.datasets.dataset import Dataset, Decoding, Record, cache_root, data_root
from rrzoo.progress import WrapIterable

FOLDER = folder.PREFIX  # of the name of any folder of images

__all__ = ["FOLDER", "Dataset", "cache_root", "data_root", "labelled_splits", "load", "names", "splits", "test_split"]


def names() -> tuple[str, ...]:
    """Return the names that `load` knows, beside "dir:" and the path of any folder."""
    return tuple(CATALOGUE)


def splits(name: str) -> tuple[str, ...]:
    """Return the splits of a data set, the training split first.

    Raises:
        errors.DatasetError: no data set has that name.
    """
    if name.startswith(folder.PREFIX):
        return folder.splits(_path(name))
    return tuple(_record(name).splits)


def labelled_splits(name: str) -> tuple[str, ...]:
    """Return the splits that have labels. See `splits`."""
    if name.startswith(folder.PREFIX):
        return splits(name)
    record = _record(name)
    return tuple(split for split in record.splits if split not in record.unlabelled)


def test_split(name: str) -> str:
    """Return the split to measure on: the last for a folder. See `splits`."""
    return splits(name)[-1] if name.startswith(folder.PREFIX) else _record(name).test_split


def load(
    name: str,
    split: str = "train",
    root: Path | None = None,
    progress: WrapIterable | None = None,
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
        record = _record(name)
        dataset = record.load(record, split, data_root() if root is None else Path(root), how)
    if dataset.skipped:
        left_out = f"{dataset.description}, {len(dataset.skipped):,} unreadable images left out"
        dataset = replace(dataset, description=left_out)
    return dataset


def _record(name: str) -> Record:
    if name not in CATALOGUE:
        raise errors.DatasetError(
            f"no data set is called {name!r}: {errors.choices(name, CATALOGUE)}; or dir: and the path of a folder"
        )
    return CATALOGUE[name]


def _path(name: str) -> Path:
    return Path(name.removeprefix(folder.PREFIX)).expanduser()
