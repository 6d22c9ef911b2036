"""Pictures of a source, read a batch at a time, on all cores where they are files of a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rrzoo import errors, images
from rrzoo.gallery.sources import Picture, PictureSource

PIXELS = 50_000_000  # a batch ends early at the picture that brings it to so many


@dataclass(frozen=True)
class Batch:
    """Pictures that were read."""

    numbers: list[int]  # of the source's pictures
    pixels: list[np.ndarray]  # uint8 (H, W, 3) each
    done: int  # pictures so far, with those that can't be read


def read(
    source: PictureSource, numbers: Sequence[int], shorter_side: int, skipped: list[str] | None, notes: list[str]
) -> Iterator[Batch]:
    """Read pictures of a source by their numbers.

    Args:
        source: of the pictures.
        numbers: which of them.
        shorter_side: px that JPEG files keep: see `images.read`.
        skipped: takes what is broken; None: that raises.
        notes: takes what is to be known of pictures that are taken.

    Raises:
        errors.GalleryError: a picture can't be read, and `skipped` is None.
    """
    taken: list[int] = []
    pixels: list[np.ndarray] = []
    several = (source.pictures[number] for number in numbers)
    reader = partial(_read, shorter_side=shorter_side, notes=notes)
    outcomes = images.in_order(reader, several) if source.parallel else map(reader, several)
    for done, (number, outcome) in enumerate(zip(numbers, outcomes, strict=True), 1):
        place = source.pictures[number].place
        if isinstance(outcome, np.ndarray):
            taken.append(number)
            pixels.append(outcome)
        elif skipped is None:
            raise errors.GalleryError(
                f"{place}: {outcome}. Replace or remove it, or leave out what is broken: without strict=True, --strict"
            )
        else:
            skipped.append(f"{place}: {outcome}")
        full = len(pixels) >= source.batch or sum(image.size for image in pixels) >= 3 * PIXELS
        if full or done == len(numbers):
            yield Batch(taken, pixels, done)
            taken, pixels = [], []


def _read(picture: Picture, shorter_side: int, notes: list[str]) -> np.ndarray | errors.ImageError:
    try:
        return picture.read(shorter_side, notes)
    except errors.ImageError as problem:
        return problem
