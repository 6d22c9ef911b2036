"""Any folder of images, with or without class folders, of one size or of many."""

from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.datasets.cache import Decoded, decode
from rrzoo.datasets.dataset import Dataset, Decoding

PREFIX = "dir:"
SPLITS = ("train", "val", "test")


def splits(folder: Path) -> tuple[str, ...]:
    """Return the splits of a folder: its folders called train, val and test, or train alone for all of it."""
    if not folder.is_dir():
        raise errors.DatasetError(f"{folder} is not a folder: name one that holds images")
    return tuple(split for split in SPLITS if (folder / split).is_dir()) if (folder / "train").is_dir() else ("train",)


def load(folder: Path, split: str, how: Decoding) -> Dataset:
    """Load a split of a folder; the first folder of an image's path is its class. See `rrzoo.datasets.load`."""
    top = folder / split if (folder / "train").is_dir() else folder
    train = folder / "train" if (folder / "train").is_dir() else folder
    decoded, names = _decode(top, how)
    classes = tuple(sorted({name for name in names if name is not None}))
    measured = decoded
    if split != "train":
        measured, train_names = _decode(train, how)
        classes = tuple(sorted({*classes, *(name for name in train_names if name is not None)}))
    number = {name: i for i, name in enumerate(classes)}
    unlabelled = None in names or not classes
    return Dataset(
        name=f"{PREFIX}{folder}",
        split=split,
        images=decoded.images,
        labels=None if unlabelled else np.array([number[str(name)] for name in names], np.int64)[decoded.kept],
        classes=classes,
        mean=measured.mean,
        std=measured.std,
        statistics="computed when the training images were decoded",
        description=f"images of the folder {folder.resolve().name}",
        licence="not known: whoever has the folder knows",
        skipped=decoded.skipped,
    )


def _decode(top: Path, how: Decoding) -> tuple[Decoded, list[str | None]]:
    """Decode all below a folder; return the images and, for every file, its class."""
    files = images.find(top)
    if not files:
        raise errors.DatasetError(
            f"{top} holds no images: put some there ({', '.join(sorted(images.SUFFIXES))}), or name another folder"
        )
    parts = [file.relative_to(top).parts for file in files]
    return decode(top, files, how), [part[0] if len(part) > 1 else None for part in parts]
