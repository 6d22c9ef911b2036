"""The pictures that a gallery shows, by row: its own thumbnails, or the images of data sets where they are at hand."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from rrzoo import datasets, errors
from rrzoo.datasets import Dataset
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.gallery.rows import Split

IN_PLACE = ("clay10", "stl10")  # data sets whose images are shown from where they lie: a gallery keeps none of them


class Pictures(Protocol):
    """The thumbnails of a gallery, by row."""

    @property
    def absent(self) -> str:
        """Why there are none, and what to do about it; empty where there are."""

    def __getitem__(self, row: int, /) -> Image.Image | None:
        """Return one, or None where there are none."""


class DatasetPictures:
    """The images of one or more splits of data sets, one after another, as they are."""

    absent = ""

    def __init__(self, splits: Sequence[Dataset]) -> None:
        """Show all images of `splits`."""
        self.splits = splits
        self.ends = np.cumsum([len(split) for split in splits])

    def __getitem__(self, row: int, /) -> Image.Image:
        """Return one."""
        number = int(np.searchsorted(self.ends, row, "right"))
        split = self.splits[number]
        return Image.fromarray(np.asarray(split.images[row - int(self.ends[number]) + len(split)]))


class NoPictures:
    """What a gallery shows whose data sets are not on this machine."""

    def __init__(self, absent: str) -> None:
        """Take the sentence that says why."""
        self.absent = absent

    def __getitem__(self, row: int, /) -> None:
        """Return nothing."""


def pictures_of(splits: Sequence[Split], labels: np.ndarray, classes: tuple[str, ...]) -> Pictures:
    """Return the pictures of a gallery that keeps none itself, or what says how to get them.

    Args:
        splits: what they are the images of, data sets of `IN_PLACE`.
        labels: of the gallery's rows, int64 (N,).
        classes: whose numbers these are.

    Raises:
        errors.GalleryError: the images at hand are others.
        errors.DatasetError: they are incomplete or broken.
    """
    found, start = [], 0
    for one in splits:
        try:
            dataset = datasets.load(one.dataset, one.split)
        except errors.DatasetAbsentError:
            record = CATALOGUE[one.dataset]
            return NoPictures(
                f"{record.title} is not on this machine, so its pictures are not shown: {record.how_to_get}, or name "
                "the folder that holds it in $RRZOO_DATA"
            )
        problem = _difference(dataset, one, labels[start : start + one.rows], classes)
        if problem:
            raise errors.GalleryError(
                f"the images of {one.dataset}/{one.split} on this machine are not those of the gallery ({problem}): "
                "name the folder that holds the right ones in $RRZOO_DATA, or build the gallery anew"
            )
        found.append(dataset)
        start += one.rows
    return DatasetPictures(found)


def _difference(dataset: Dataset, split: Split, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    """Say in what a data set differs from what a gallery was built of, or ""."""
    if dataset.name != split.dataset:
        return f"they are {dataset.name}"
    if len(dataset) != split.rows:
        return f"{len(dataset):,} images, not {split.rows:,}"
    if dataset.classes != classes or not np.array_equal(dataset.require_labels(), labels):
        return "their labels differ"
    return ""
