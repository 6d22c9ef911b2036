"""Any folder of images, with or without class folders, of one size or of many."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.datasets.cache import decode
from rrzoo.datasets.dataset import Dataset, Decoding
from rrzoo.datasets.mapped import Selection
from rrzoo.files import sha256

PREFIX = "dir:"
SPLITS = ("train", "val", "test")
ALL = "all"  # the split that is all of a folder without splits of its own
TEST_SHARE = 0.2  # of each class's images, where a folder has no splits of its own
MOST_TESTED = 2000  # images, about, of all classes


@dataclass(frozen=True)
class Files:
    """The image files below a folder, sorted."""

    top: Path
    paths: list[Path]

    @property
    def classes(self) -> list[str | None]:
        """The first folder of each file's path, if it has one."""
        parts = [path.relative_to(self.top).parts for path in self.paths]
        return [part[0] if len(part) > 1 else None for part in parts]

    @property
    def hashes(self) -> list[str]:
        """A hash of each file's path below the folder: an order that is random, and the same wherever it lies."""
        return [sha256(path.relative_to(self.top).as_posix().encode(errors="surrogateescape")) for path in self.paths]


def splits(folder: Path) -> tuple[str, ...]:
    """Return the splits of a folder: its folders called train, val and test; or train, test, and all for both."""
    if not folder.is_dir():
        raise errors.DatasetError(f"{folder} is not a folder: name one that holds images")
    if has_splits(folder):
        return tuple(split for split in SPLITS if (folder / split).is_dir())
    return ("train", "test", ALL)


def has_splits(folder: Path) -> bool:
    """Say whether a folder holds one called train, and one to measure on."""
    return (folder / "train").is_dir() and any((folder / split).is_dir() for split in SPLITS[1:])


def load(folder: Path, split: str, how: Decoding) -> Dataset:
    """Load a split of a folder; the first folder of an image's path is its class. See `rrzoo.datasets.load`."""
    own_splits = has_splits(folder)
    files = find(folder, split, how.most)
    decoded = decode(files.top, files.paths, how)
    classes, measured = {*files.classes}, decoded
    if own_splits and split != "train":
        train = find(folder, "train", how.most)
        measured = decode(train.top, train.paths, how)
        classes |= {*train.classes} - {None}
    rows = np.arange(len(decoded.kept))
    if not own_splits and split != ALL:
        rows = np.flatnonzero(held_out(files)[decoded.kept] == (split == "test"))
        if not len(rows):
            raise errors.DatasetError(
                f"none of the {len(decoded.kept)} images of {folder} is left for its {split} split: at least two are "
                "needed, or of each class two"
            )
    known = tuple(sorted(name for name in classes if name is not None))
    number = {name: i for i, name in enumerate(known)}
    labels = None
    if known and None not in files.classes:
        labels = np.array([number[str(name)] for name in files.classes], np.int64)[decoded.kept][rows]
    return Dataset(
        name=f"{PREFIX}{folder}",
        split=split,
        images=decoded.images if len(rows) == len(decoded.kept) else Selection(decoded.images, rows),
        labels=labels,
        classes=known,
        mean=measured.mean,
        std=measured.std,
        statistics=f"computed when the {'training ' if own_splits else ''}images were decoded",
        description=f"the folder {folder.resolve().name}",
        licence="not known: whoever has the folder knows",
        skipped=decoded.skipped,
    )


def find(folder: Path, split: str, most: int | None = None) -> Files:
    """Return the image files that a split of a folder is made of: all, or those `most` whose paths have least hashes.

    Of a folder without splits of its own, these are the files of all splits.

    Raises:
        errors.DatasetError: there are none.
    """
    top = folder / split if has_splits(folder) else folder / "train" if (folder / "train").is_dir() else folder
    files = Files(top, images.find(top))
    if not files.paths:
        raise errors.DatasetError(
            f"{top} holds no images: put some there ({', '.join(sorted(images.SUFFIXES))}), or name another folder"
        )
    if most is None or len(files.paths) <= most:
        return files
    few = np.argsort(np.array(files.hashes))[:most]
    return Files(top, [files.paths[row] for row in np.sort(few)])


def held_out(files: Files) -> np.ndarray:
    """Return which files are the split test, bool (N,): a share of each class, those whose paths have the least hashes.

    So a class of two images or more is in both splits; which ones are, depends on their paths alone. Where folders hold
    so few images each that this yields less than half of the share, they are not looked at.
    """
    held = np.zeros(len(files.paths), bool)
    share = min(TEST_SHARE, MOST_TESTED / len(held))
    classes, hashes = np.array([name or "" for name in files.classes]), np.array(files.hashes)
    for name in np.unique(classes):
        rows = np.flatnonzero(classes == name)
        count = min(len(rows) - 1, max(1, round(share * len(rows))))
        held[rows[np.argsort(hashes[rows])[:count]]] = True
    target = round(share * len(held))
    if held.sum() < target / 2:
        held[:] = False
        held[np.argsort(hashes)[:target]] = True
    return held
