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
    """Return the splits that have labels, no image in two of them. See `splits`."""
    if name.startswith(folder.PREFIX):
        return tuple(split for split in splits(name) if split != folder.ALL)
    record = _record(name)
    return tuple(split for split in record.splits if split not in record.unlabelled)


def test_split(name: str) -> str:
    """Return the split to measure on: for a folder with splits of its own the last. See `splits`."""
    return labelled_splits(name)[-1] if name.startswith(folder.PREFIX) else _record(name).test_split


def load(
    name: str,
    split: str | None = None,
    root: Path | None = None,
    progress: WrapIterable | None = None,
    skip_broken: bool = False,
    size: int | None = None,
    most: int | None = None,
) -> Dataset:
    """Load one split of a data set.

    Args:
        name: one of `names()`; or "dir:" and the path of a folder of images, where the first folder below it is the
            class of an image, and folders called train, val and test are splits. Of a folder without these, a fifth
            of each class's images, at most 2,000 in all, are the split test, drawn by a hash of their paths.
        split: one of `splits(name)`; default: train, or of a folder without splits of its own all images.
        root: folder that holds the data set's own folder; default `data_root()`. clay10 and "dir:" need none.
        progress: wraps the files that are decoded, given their number; for a progress bar.
        skip_broken: leave out image files that can't be read; `Dataset.skipped` and the description count them.
        size: px; of a folder, scale images to squares of this side.
        most: of a folder, take so many images at most, drawn by a hash of their paths.

    Raises:
        errors.DatasetError: it is unknown, absent, incomplete, or holds a broken image.
    """
    known = splits(name)
    split = split or (folder.ALL if folder.ALL in known else "train")
    if split not in known:
        raise errors.DatasetError(f"{name} has no split {split!r}: {errors.choices(split, known)}")
    how = Decoding(progress, skip_broken, size, most)
    if name.startswith(folder.PREFIX):
        dataset = folder.load(_path(name), split, how)
    elif size is not None or most is not None:
        raise errors.DatasetError(
            f"size is {size}, most is {most}: both are for folders (dir:...), and the images of {name} have one size"
        )
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
