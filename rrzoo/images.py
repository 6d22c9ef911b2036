"""Reading images that nobody has checked: any path, PIL image or array in, uint8 RGB out, or one clear error.

What a viewer would show is what comes out: EXIF orientation is applied, transparency lies on white, 16-bit greys are
scaled (not clipped), of an animation the first frame is taken. Only the size may be less: a JPEG file comes at a half,
a quarter or an eighth of its width and height as long as the shorter side keeps 1,024 px. That takes a fraction of the
time and memory, and is still more than any model looks at.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rrzoo import errors

MAX_PIXELS = 50_000_000  # width * height; a decoded image takes 3 bytes a pixel, its decoding several times that
ORIENTATION = 0x0112  # the EXIF tag
SHORTER_SIDE = 1024  # px that JPEG files keep
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # the only decoders that untrusted bytes reach
# what those decoders raise on broken bytes; MemoryError: more pixels than fit
DECODING = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError)


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


def read(image: ImageLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return one image as uint8 RGB (H, W, 3).

    Args:
        image: a path; a PIL image; or a uint8 array (H, W, 3).
        max_pixels: of the image as it comes back, H * W. A file may never have more than 50 million.

    Raises:
        errors.ImageError: it can't be read, or has too many pixels.
    """
    if isinstance(image, np.ndarray):
        return _checked_array(image, max_pixels)
    if isinstance(image, Image.Image):
        return _rgb(image, "the given PIL image", max_pixels)
    path = Path(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # _rgb has the tighter limit
            with Image.open(path, formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise errors.ImageError(_too_large(path.name, MAX_PIXELS))
                if opened.format == "JPEG":
                    scale = max(1, min(opened.size) // SHORTER_SIDE)
                    opened.draft(None, (opened.width // scale, opened.height // scale))
                return _rgb(opened, path.name, max_pixels)
    except FileNotFoundError:
        raise errors.ImageError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise errors.ImageError(f"{path} is a folder: name an image file in it") from None
    except UnidentifiedImageError:
        raise errors.ImageError(
            f"{path.name} is not an image that can be read: use JPEG, PNG, WebP, GIF, BMP or TIFF"
        ) from None
    except Image.DecompressionBombError:
        raise errors.ImageError(_too_large(path.name, MAX_PIXELS)) from None
    except OSError as problem:
        raise errors.ImageError(f"{path.name} can't be read: {problem.strerror or problem}") from None
    except errors.ImageError:
        raise
    except DECODING as problem:  # such as a compressed chunk that would not end
        raise errors.ImageError(_damaged(path.name, problem)) from None


def read_all(images: Images) -> list[np.ndarray]:
    """Return one image or a sequence of them as a list of uint8 arrays (H, W, 3). See `read`."""
    return [read(image) for image in listed(images)]


def listed(images: Images) -> Sequence[ImageLike] | ImageArray:
    """Return one image as a list of one, and a sequence as it is."""
    if isinstance(images, str | os.PathLike | Image.Image) or (isinstance(images, np.ndarray) and images.ndim == 3):
        return [images]
    return images


def find(folder: Path) -> list[Path]:
    """Return the image files below a folder, by their suffix, sorted; hidden files and folders are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def to_square(images: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Return uint8 images (H, W, 3) of any sizes as one array (N, size, size, 3): scaled to cover, centre kept.

    Scaling is bicubic with a support that grows with the reduction (no aliasing). Images of the right size are
    passed on unchanged.
    """
    squares = [image if image.shape[:2] == (size, size) else _fit(Image.fromarray(image), size) for image in images]
    return np.stack(squares) if squares else np.empty((0, size, size, 3), np.uint8)


def _fit(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def _checked_array(image: np.ndarray, max_pixels: int) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise errors.ImageError(
            f"an array of {image.dtype} {image.shape} arrived: an image is uint8 (height, width, 3), RGB, 0 to 255"
        )
    if image.shape[0] * image.shape[1] > max_pixels:
        raise errors.ImageError(_too_large("the given array", max_pixels))
    return image


def _too_large(name: str, max_pixels: int) -> str:
    return f"{name} has more than {max_pixels // 1_000_000} million pixels: make it smaller first"


def _rgb(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    """Decode to RGB as a viewer shows it."""
    if image.width * image.height > max_pixels:
        raise errors.ImageError(_too_large(name, max_pixels))
    try:
        image.load()
        if image.getexif().get(ORIENTATION, 1) != 1:  # without it Pillow would copy the whole picture
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 or 32 bits; PIL's own conversion clips at 255
            grey = np.clip(np.asarray(image), 0, 65535)
            image = Image.fromarray(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8))
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            image = white
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except DECODING as problem:
        raise errors.ImageError(_damaged(name, problem)) from None


def _damaged(name: str, problem: BaseException) -> str:
    return f"{name} is damaged and can't be decoded: {problem}"
