"""Reading what a gallery is built of, a batch at a time: folders, data sets, single images."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rrzoo import errors, images
from rrzoo.datasets import Dataset
from rrzoo.images import ImageLike

BATCH = 256  # images that are read and embedded at once
PIXELS = 50_000_000  # ... or fewer, from the image on that brings a batch of photographs to so many pixels
SINGLE = 8  # images at once, of those that are not in a folder
READERS = 2  # threads that decode the files of a folder

Stamp: TypeAlias = tuple[int, int]  # of a file: bytes, time of the last change in ns


@dataclass(frozen=True)
class Batch:
    """Images that were read."""

    pictures: list[np.ndarray]  # uint8 (H, W, 3)
    labels: list[str | None]
    sources: list[str]
    read: int  # images so far, with those that can't be read


def list_folder(folder: Path) -> dict[str, Stamp]:
    """Return the paths of all images below a folder, relative to it, and the stamp of each file.

    Raises:
        errors.GalleryError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise errors.GalleryError(f"{folder} is not a folder: name one that holds images")
    found = {}
    for path in images.find(folder):
        status = path.stat()
        found[path.relative_to(folder).as_posix()] = status.st_size, status.st_mtime_ns
    if not found:
        raise errors.GalleryError(
            f"{folder} holds no images: put some there ({', '.join(sorted(images.SUFFIXES))}), or name another folder"
        )
    return found


def class_of(source: str) -> str | None:
    """Take the first folder of a path as the class."""
    return source.partition("/")[0] if "/" in source else None


def of_folder(folder: Path, paths: Sequence[str], skipped: list[str] | None) -> Iterator[Batch]:
    """Read files of a folder; note what is broken in `skipped`, or raise.

    Raises:
        errors.GalleryError: an image can't be read, and `skipped` is None.
    """

    def read(path: str) -> np.ndarray | errors.ImageError:
        try:
            return images.read(folder / path)
        except errors.ImageError as problem:
            return problem

    pictures: list[np.ndarray] = []
    sources: list[str] = []
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(paths), READERS):
            several = paths[start : start + READERS]
            for path, picture in zip(several, readers.map(read, several), strict=True):
                if isinstance(picture, np.ndarray):
                    pictures.append(picture)
                    sources.append(path)
                elif skipped is None:
                    raise errors.GalleryError(
                        f"{folder / path}: {picture}. Replace or remove it, or leave out what is broken with "
                        "--skip-broken"
                    )
                else:
                    skipped.append(f"{folder / path}: {picture}")
            done = start + len(several)
            full = len(pictures) >= BATCH or sum(picture.size for picture in pictures) >= 3 * PIXELS
            if full or done == len(paths):
                yield Batch(pictures, [class_of(path) for path in sources], sources, done)
                pictures, sources = [], []


def of_datasets(splits: Sequence[Dataset]) -> Iterator[Batch]:
    """Read data sets of the same classes.

    Raises:
        errors.GalleryError: their classes differ.
    """
    read = 0
    for dataset in splits:
        if dataset.classes != splits[0].classes:
            raise errors.GalleryError(f"{dataset.name} has other classes than {splits[0].name}: index one data set")
        for start in range(0, len(dataset), BATCH):
            stop = min(start + BATCH, len(dataset))
            labels: list[str | None] = [None] * (stop - start)
            if dataset.labels is not None:
                labels = [dataset.classes[label] if label >= 0 else None for label in dataset.labels[start:stop]]
            read += stop - start
            sources = [f"{dataset.name}/{dataset.split}/{row}" for row in range(start, stop)]
            yield Batch(list(dataset.images[start:stop]), labels, sources, read)


def of_images(given: Sequence[ImageLike], labels: Sequence[str | None], skipped: list[str] | None) -> Iterator[Batch]:
    """Read single images; note what is broken in `skipped`, or raise.

    Raises:
        errors.GalleryError: an image can't be read, and `skipped` is None.
    """
    for start in range(0, len(given), SINGLE):
        batch = Batch([], [], [], min(start + SINGLE, len(given)))
        for row in range(start, batch.read):
            image = given[row]
            try:
                batch.pictures.append(images.read(image))
            except errors.ImageError as problem:
                if skipped is None:
                    raise errors.GalleryError(f"image {row + 1}: {problem}. Replace it or leave it out") from None
                skipped.append(f"image {row + 1}: {problem}")
                continue
            batch.labels.append(labels[row])
            batch.sources.append(Path(image).name if isinstance(image, str | os.PathLike) else str(row + 1))
        yield batch


def numbers(labels: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """Return labels as numbers of `classes`, int64 (N,), -1 for none."""
    number: Mapping[str | None, int] = {name: i for i, name in enumerate(classes)}
    return np.array([number.get(label, -1) for label in labels], np.int64)
