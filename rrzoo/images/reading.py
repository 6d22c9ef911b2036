"""From an image that nobody has checked to uint8 RGB, or to one clear error."""

import io
import os
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.images.colours import to_rgb
from rrzoo.images.given import ImageLike, Images, checked_array, foreign, listed, too_large
from rrzoo.images.opening import DECODING, MAX_PIXELS, check_file, max_pixels_of, open_file
from rrzoo.images.parallel import in_order

SHORTER_SIDE = 1024  # px that JPEG files keep
ENOUGH = 0.9  # share of a JPEG's rows that must be there
END = b"\xff\xd9"  # of a JPEG
ABSENT = (127, 128)  # what libjpeg puts where nothing is left to decode, before colours are converted


def read(
    image: ImageLike,
    max_pixels: int = MAX_PIXELS,
    shorter_side: int = SHORTER_SIDE,
    notes: list[str] | None = None,
) -> np.ndarray:
    """Return one image as uint8 RGB (H, W, 3).

    Args:
        image: a path; a PIL image; or a uint8 array (H, W, 3).
        max_pixels: of the image as it is decoded, H * W. A file may have 50 million, a JPEG that is not progressive
            200 million: it is decoded smaller.
        shorter_side: px; a JPEG file is decoded at a half, a quarter or an eighth as long as it keeps so many, or if
            it had more than `max_pixels` otherwise.
        notes: takes what is to be known of an image that is taken nonetheless; if None, that is a Python warning.

    Raises:
        errors.ImageError: it is something else, can't be read, or has too many pixels.
    """
    if isinstance(image, np.ndarray):
        return checked_array(image, max_pixels)
    if isinstance(image, Image.Image):
        return _decode(image, "the given PIL image", max_pixels)
    if not isinstance(image, str | os.PathLike):
        raise errors.ImageError(foreign(image))
    if isinstance(image, str) and image.startswith(("http://", "https://", "data:", "hub:", "s3://")):
        raise errors.ImageError(f"the address {image[:60]!r} arrived: no address is opened. Download the file first")
    path = Path(image)
    check_file(path)
    try:
        file = path.open("rb")
    except OSError as problem:
        raise errors.ImageError(f"{path.name} can't be read: {problem.strerror or problem}") from None
    with file:
        return _read_checked(file, path, max_pixels, shorter_side, notes)


def read_bytes(
    content: bytes, name: str, shorter_side: int = SHORTER_SIDE, notes: list[str] | None = None
) -> np.ndarray:
    """Return an image file that is in memory as uint8 RGB (H, W, 3): see `read`.

    Args:
        content: of the file.
        name: that errors call it by.
        shorter_side: px, as for `read`.
        notes: as for `read`.

    Raises:
        errors.ImageError: it is no image, can't be decoded, or has too many pixels.
    """
    return _read_checked(io.BytesIO(content), Path(name), MAX_PIXELS, shorter_side, notes)


def read_all(images: Images, shorter_side: int = SHORTER_SIDE) -> list[np.ndarray]:
    """Return one image or a sequence of them as a list of uint8 arrays (H, W, 3), decoded on all cores. See `read`."""
    given = listed(images)
    if isinstance(given, np.ndarray) or not any(isinstance(image, str | os.PathLike) for image in given):
        return [read(image) for image in given]
    return list(in_order(lambda image: read(image, shorter_side=shorter_side), given))


def _read_checked(
    file: IO[bytes], path: Path, max_pixels: int, shorter_side: int, notes: list[str] | None
) -> np.ndarray:
    try:
        return _read_file(file, path, max_pixels, shorter_side, notes)
    except Image.DecompressionBombError:
        raise errors.ImageError(too_large(path.name, MAX_PIXELS)) from None
    except OSError as problem:
        raise errors.ImageError(f"{path.name} can't be read: {problem.strerror or problem}") from None
    except errors.ImageError:
        raise
    except DECODING as problem:  # such as a compressed chunk that would not end
        raise errors.ImageError(_damaged(path.name, problem)) from None


def _read_file(file: IO[bytes], path: Path, max_pixels: int, shorter_side: int, notes: list[str] | None) -> np.ndarray:
    with _open(file, path, max_pixels, shorter_side) as opened:
        try:
            return _decode(opened, path.name, max_pixels)
        except errors.ImageError as problem:
            if opened.format != "JPEG" or opened.width * opened.height > max_pixels:
                raise
            first = problem
    file.seek(0)
    ended = io.BytesIO(file.read() + END)  # so that the decoder gives what it has
    with _open(ended, path, max_pixels, shorter_side) as opened:
        try:
            opened.load()
        except DECODING:
            raise first from None
        present = _present(opened)
        if present < ENOUGH:
            raise errors.ImageError(
                f"{path.name} is damaged and can't be decoded: only the first {present:.0%} of it are there"
            )
        note = f"{path.name} lacks its end: the last {max(1 - present, 0.01):.0%} of it are grey"
        if notes is None:
            warnings.warn(note, stacklevel=4)
        else:
            notes.append(note)
        return _decode(opened, path.name, max_pixels)


def _open(file: IO[bytes], path: Path, max_pixels: int, shorter_side: int) -> Image.Image:
    """Open a file and, if it is a JPEG, choose at which size it is decoded."""
    opened = open_file(file, path)
    most = max_pixels_of(opened, file, path)
    if opened.width * opened.height > most:
        raise errors.ImageError(too_large(path.name, most))
    if opened.format == "JPEG":
        scale = max(1, min(opened.size) // shorter_side)
        while scale < 8 and -(-opened.width // scale) * -(-opened.height // scale) > max_pixels:
            scale *= 2
        scale = max(power for power in (1, 2, 4, 8) if power <= scale)
        opened.draft(None, (opened.width // scale, opened.height // scale))
    return opened


def _decode(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    """Decode to RGB as a viewer shows it."""
    if image.width * image.height > max_pixels:
        raise errors.ImageError(too_large(name, max_pixels))
    try:
        image.load()
        return to_rgb(image, name)
    except errors.ImageError:
        raise
    except DECODING as problem:
        raise errors.ImageError(_damaged(name, problem)) from None


def _present(image: Image.Image) -> float:
    """Return the share of a decoded JPEG's rows, from the top, that are not what stands for absent ones."""
    pixels = np.asarray(image).reshape(image.height, -1)
    rows = np.flatnonzero(((pixels < ABSENT[0]) | (pixels > ABSENT[1])).any(1))
    return (int(rows[-1]) + 1) / image.height if len(rows) else 0.0


def _damaged(name: str, problem: BaseException) -> str:
    return f"{name} is damaged and can't be decoded: {problem}"
