"""What counts as an image: a path, a PIL image, a uint8 array; and what is said of anything else."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image

from rrzoo import errors


class ImageArray(Protocol):
    """Images that are indexed as an uint8 array (N, H, W, 3) is; perhaps on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Return one image, uint8 (H, W, 3), or those of a slice or an array of numbers, (M, H, W, 3)."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the images, uint8 (H, W, 3)."""


ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray
Images: TypeAlias = ImageLike | Sequence[ImageLike] | ImageArray
ALLOWED = "an image is a path, a PIL image, or a uint8 array (height, width, 3); several are a list of them"


def listed(images: Images) -> Sequence[ImageLike] | ImageArray:
    """Return one image as a list of one, and a sequence as it is.

    Raises:
        errors.ImageError: it is neither; nothing is taken from an iterator.
    """
    if isinstance(images, str | os.PathLike | Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    strange = isinstance(images, bytes | bytearray | memoryview | dict) or _is_tensor(images)
    if strange or not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise errors.ImageError(foreign(images))
    return images


def foreign(thing: object) -> str:
    """Say of what is no image what it is, what is allowed, and how to make one of it."""
    name = type(thing).__name__
    remedy = ""
    if _is_tensor(thing):
        remedy = ". Make it an array: tensor.permute(1, 2, 0).numpy() of a uint8 tensor (3, height, width)"
    elif isinstance(thing, bytes | bytearray | memoryview) or hasattr(thing, "read"):
        remedy = ". Open it first: PIL.Image.open(file), with io.BytesIO(content) as the file where there is none"
    elif isinstance(thing, list | tuple):
        remedy = ". Lists don't nest: give one list of images"
    elif isinstance(thing, Iterable) and not isinstance(thing, dict):
        remedy = ". Make it a list first: list(images)"
    return f"{'None' if thing is None else f'something of type {name}'} arrived: {ALLOWED}{remedy}"


def checked_array(image: np.ndarray, max_pixels: int) -> np.ndarray:
    """Return an array as it is.

    Raises:
        errors.ImageError: it is no uint8 (H, W, 3), or too large.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise errors.ImageError(
            f"an array of {image.dtype} {image.shape} arrived: an image is uint8 (height, width, 3), RGB, 0 to 255"
        )
    if image.shape[0] * image.shape[1] > max_pixels:
        raise errors.ImageError(too_large("the given array", max_pixels))
    return image


def too_large(name: str, max_pixels: int) -> str:
    """Say that a picture has too many pixels."""
    return f"{name} has more than {max_pixels // 1_000_000} million pixels: make it smaller first"


def _is_tensor(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "torch"
