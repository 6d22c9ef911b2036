"""Reading images that nobody has checked: any path, PIL image or array in, uint8 RGB out, or one clear error.

What a viewer would show is what comes out: EXIF orientation is applied, transparency lies on white, 16-bit greys are
scaled (not clipped), of an animation the first frame is taken. Only the size may be less: a JPEG file comes at a half,
a quarter or an eighth of its width and height as long as the shorter side keeps 1,024 px. That takes a fraction of the
time and memory, and is still more than any model looks at.
"""

import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from PIL import (  # each of the plugins enters its format in Image.OPEN
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

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
ALLOWED = "an image is a path, a PIL image, or a uint8 array (height, width, 3); several are a list of them"


def read(image: ImageLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return one image as uint8 RGB (H, W, 3).

    Args:
        image: a path; a PIL image; or a uint8 array (H, W, 3).
        max_pixels: of the image as it comes back, H * W. A file may never have more than 50 million.

    Raises:
        errors.ImageError: it is something else, can't be read, or has too many pixels.
    """
    if isinstance(image, np.ndarray):
        return _checked_array(image, max_pixels)
    if isinstance(image, Image.Image):
        return _rgb(image, "the given PIL image", max_pixels)
    if not isinstance(image, str | os.PathLike):
        raise errors.ImageError(_foreign(image))
    if isinstance(image, str) and image.startswith(("http://", "https://", "data:", "hub:", "s3://")):
        raise errors.ImageError(f"the address {image[:60]!r} arrived: no address is opened. Download the file first")
    path = Path(image)
    _check_file(path)
    try:
        with path.open("rb") as file, _open(file, path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise errors.ImageError(_too_large(path.name, MAX_PIXELS))
            if opened.format == "JPEG":
                scale = max(1, min(opened.size) // SHORTER_SIDE)
                opened.draft(None, (opened.width // scale, opened.height // scale))
            return _rgb(opened, path.name, max_pixels)
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
    """Return one image as a list of one, and a sequence as it is.

    Raises:
        errors.ImageError: it is neither; nothing is taken from an iterator.
    """
    if isinstance(images, str | os.PathLike | Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    foreign = isinstance(images, bytes | bytearray | memoryview | dict) or _is_tensor(images)
    if foreign or not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise errors.ImageError(_foreign(images))
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


def to_square(
    images: Iterable[np.ndarray],
    size: int,
    source_size: int | None = None,
    crop: float = 1.0,
    interpolation: str = "bicubic",
) -> np.ndarray:
    """Return uint8 images (H, W, 3) of any sizes as one array (N, size, size, 3): scaled to cover, centre kept.

    Scaling has a support that grows with the reduction (no aliasing). Images of the right size are passed on unchanged
    where `crop` is 1.

    Args:
        images: uint8 (H, W, 3).
        size: px.
        source_size: px; images whose shorter side is larger are reduced to it first, so that none has more detail than
            pictures of that size have.
        crop: share of the side of the centre square that is kept, above 0 and up to 1.
        interpolation: "bicubic" or "bilinear".
    """
    squares = []
    for image in images:
        if source_size is not None and min(image.shape[:2]) > source_size:
            image = _fit(image, source_size)
        squares.append(_fit(image, size, crop, interpolation))
    return np.stack(squares) if squares else np.empty((0, size, size, 3), np.uint8)


def limit_detail(images: np.ndarray, source_size: int | None) -> np.ndarray:
    """Return uint8 images (N, H, W, 3) as they are or, if larger than that, as squares of `source_size`, px."""
    if source_size is None or min(images.shape[1:3]) <= source_size:
        return images
    return to_square(images, source_size)


def _open(file: IO[bytes], path: Path) -> Image.Image:
    """Open a file of one of `FORMATS`, whatever its size says, by its first bytes.

    `Image.open` warns of a large picture before its size can be looked at, and a warning can't be held back without
    changing the filters of all threads.
    """
    beginning = file.read(16)
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(beginning) is True:
            file.seek(0)
            try:
                return factory(file, str(path))
            except (
                SyntaxError,
                IndexError,
                TypeError,
                struct.error,
            ):  # by which decoders say that it is none of theirs
                continue
    raise errors.ImageError(f"{path.name} is not an image that can be read: use JPEG, PNG, WebP, GIF, BMP or TIFF")


def _check_file(path: Path) -> None:
    """Refuse what can't be a file of an image, before it is opened: reading from a pipe could wait for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise errors.ImageError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as problem:  # ValueError: a name with a null character
        raise errors.ImageError(f"{path.name!r} can't be read: {getattr(problem, 'strerror', problem)}") from None
    if stat.S_ISDIR(mode):
        raise errors.ImageError(f"{path} is a folder: name an image file in it")
    if not stat.S_ISREG(mode):
        raise errors.ImageError(f"{path} is a pipe or a device: name an image file")


def _is_tensor(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "torch"


def _foreign(thing: object) -> str:
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


def _fit(image: np.ndarray, size: int, crop: float = 1.0, interpolation: str = "bicubic") -> np.ndarray:
    if image.shape[:2] == (size, size) and crop == 1:
        return image
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(ImageOps.fit(Image.fromarray(image), (size, size), method, bleed=(1 - crop) / 2))


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
