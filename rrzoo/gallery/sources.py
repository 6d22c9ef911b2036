"""What a gallery is built of: pictures of a folder, of data sets, or single ones, listed before they are read."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from rrzoo import errors, images
from rrzoo.datasets import Dataset
from rrzoo.gallery.pictures import IN_PLACE
from rrzoo.images import ImageArray, ImageLike, Images

IN_MEMORY = 500  # single images that a gallery is built of at most
BATCH = 256  # pictures that are read and embedded at once
SINGLE = 8  # pictures at once, of those that are not in a folder

Folder: TypeAlias = str | os.PathLike[str]
Buildable: TypeAlias = Folder | Dataset | Sequence[Dataset] | Images  # what `Gallery.build` takes
Stamp: TypeAlias = tuple[int, int]  # of a file: bytes, time of the last change in ns


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is still to be read."""

    source: str  # its id: a path within the folder; data set, split and number; or the name of a file
    stamp: Stamp | None  # while it is the same, so is the picture; None of what is no file in a folder
    label: str | None
    place: str  # what an error calls it
    # takes px of the shorter side to keep, and a list for notes; returns uint8 (H, W, 3); raises errors.ImageError
    read: Callable[[int, list[str]], np.ndarray]


@dataclass(frozen=True)
class PictureSource:
    """Pictures that become a gallery."""

    pictures: Sequence[Picture]  # at least one
    classes: tuple[str, ...]  # all labels
    description: str | None = None  # what the pictures are
    batch: int = BATCH  # how many are read at once
    parallel: bool = False  # read on all cores
    splits: tuple[Dataset, ...] = ()  # all its pictures, one after another, where they are shown from where they lie
    folder: str | None = None  # that they are in: its path without links, see `folders.identity`
    notes: tuple[str, ...] = ()  # what was left out of the folder, and why

    def labels(self, numbers: Sequence[int]) -> np.ndarray:
        """Return the labels of some pictures as numbers of `classes`, int64 (M,), -1 for none."""
        classes: dict[str | None, int] = {name: number for number, name in enumerate(self.classes)}
        return np.array([classes.get(self.pictures[number].label, -1) for number in numbers], np.int64)


def of(source: Buildable) -> PictureSource:
    """List what a gallery is to be built of: a data set, several splits of one, or images.

    Raises:
        errors.GalleryError: see `folders.of_folder`, `of_datasets`, `of_images`.
        errors.ArgumentError: it is nothing of these.
    """
    items: list[object] = [source]
    if not isinstance(source, Dataset | Image.Image) and hasattr(source, "__iter__"):
        items = list(images.listed(source))  # type: ignore[arg-type]
    splits = [item for item in items if isinstance(item, Dataset)]
    if splits and len(splits) == len(items):
        return of_datasets(splits)
    single = [item for item in items if isinstance(item, str | os.PathLike | Image.Image | np.ndarray)]
    if len(single) < len(items):
        kinds = ", ".join(sorted({type(item).__name__ for item in items}))
        raise errors.ArgumentError(
            f"{kinds} arrived: give a folder, a data set, or a list of images (paths, PIL images, uint8 arrays)"
        )
    return of_images(single)


def of_datasets(splits: Sequence[Dataset]) -> PictureSource:
    """List the images of a data set, or of several that have the same classes.

    Raises:
        errors.GalleryError: their classes differ, or there is no image.
    """
    first = splits[0]
    pictures = []
    for dataset in splits:
        if dataset.classes != first.classes:
            raise errors.GalleryError(f"{dataset.name} has other classes than {first.name}: index one data set")
        numbers = [-1] * len(dataset) if dataset.labels is None else dataset.labels.tolist()
        for row, number in enumerate(numbers):
            source = f"{dataset.name}/{dataset.split}/{row}"
            label = dataset.classes[number] if number >= 0 else None
            pictures.append(Picture(source, None, label, source, partial(_row, dataset.images, row)))
    if not pictures:
        raise errors.GalleryError(f"{first.name} has no images in the splits that were asked for: name others")
    in_place = all(dataset.name in IN_PLACE and dataset.labels is not None for dataset in splits)
    return PictureSource(
        pictures, first.classes, first.description, batch=BATCH, splits=tuple(splits) if in_place else ()
    )


def of_images(given: Sequence[ImageLike], labels: Sequence[str | None] | None = None) -> PictureSource:
    """List single images: paths, PIL images or uint8 arrays (H, W, 3).

    Raises:
        errors.GalleryError: there is none, or more than 500.
        errors.ArgumentError: there are more or fewer labels than images.
    """
    if not 0 < len(given) <= IN_MEMORY:
        raise errors.GalleryError(
            f"{len(given):,} images arrived: a gallery in memory takes 1 to {IN_MEMORY}; for more, "
            "put them into a folder and use python -m rrzoo index"
        )
    if labels is not None and len(labels) != len(given):
        raise errors.ArgumentError(f"{len(labels)} labels and {len(given)} images arrived: give one for each image")
    pictures = []
    for number, image in enumerate(given, 1):
        source = Path(image).name if isinstance(image, str | os.PathLike) else str(number)
        label = None if labels is None else labels[number - 1]
        pictures.append(Picture(source, None, label, f"image {number}", partial(_given, image)))
    return PictureSource(pictures, classes_of(pictures), batch=SINGLE)


def _given(image: ImageLike, shorter_side: int, notes: list[str]) -> np.ndarray:
    return images.read(image, shorter_side=shorter_side, notes=notes)


def _row(pictures: ImageArray, row: int, shorter_side: int, notes: list[str]) -> np.ndarray:
    return np.asarray(pictures[row])


def classes_of(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """Return all labels of pictures, sorted."""
    return tuple(sorted({picture.label for picture in pictures if picture.label is not None}))
