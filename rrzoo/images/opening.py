"""Opening files that nobody has checked: by what they hold, not by their names, and with a few decoders alone."""

import io
import stat
import struct
from pathlib import Path
from typing import IO

from PIL import (  # each of the plugins enters its format in Image.OPEN
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from rrzoo import errors
from rrzoo.images import repeated

SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".hif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    }
)  # of files that are looked into
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP", "AVIF")  # with HEIF, the only decoders that bytes reach
READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
# what those decoders raise on broken bytes; MemoryError: more pixels than fit
DECODING = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    RuntimeError,
    struct.error,
    MemoryError,
)
NOT_MINE = (SyntaxError, IndexError, TypeError, struct.error)  # by which decoders say that a file is none of theirs
MAX_PIXELS = 50_000_000  # width * height; a decoded image takes 3 bytes a pixel, its decoding several times that
MAX_SCANNED = 200_000_000  # ... of a JPEG that is decoded row by row, at an eighth or more


def open_file(file: IO[bytes], path: Path) -> Image.Image:
    """Open a file by its first bytes, whatever its size says; no pixel is decoded.

    `Image.open` warns of a large picture before its size can be looked at, and a warning can't be held back without
    changing the filters of all threads.

    Raises:
        errors.ImageError: it is none of `FORMATS`, or HEIC and pillow-heif is not there.
    """
    beginning = file.read(64)
    if _is_heif(beginning):
        return _open_heif(file, path)
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(beginning) is True:
            file.seek(0)
            if name == "JPEG":  # the factory would make an MPO of one with several pictures: the first is wanted
                factory = JpegImagePlugin.JpegImageFile
            if name == "GIF":
                repeated.check_blocks(file, path)
            try:
                return factory(file, str(path))
            except NOT_MINE:
                continue
    raise errors.ImageError(f"{path.name} is not an image that can be read: use {READ}")


def max_pixels_of(image: Image.Image, file: IO[bytes], path: Path) -> int:
    """Return how many pixels, width * height, a file that was just opened may have.

    A JPEG can be decoded smaller. Only where its one scan holds all colours does that save memory, too: otherwise its
    decoder keeps the whole picture's coefficients, and goes over them once for each scan.

    Raises:
        errors.ImageError: it has too many scans.
    """
    if image.format != "JPEG":
        return MAX_PIXELS
    if image.info.get("progressive"):
        repeated.check_scans(file, path)
        return MAX_PIXELS
    colours = len(image.getbands())
    header = 6 + 2 * colours  # bytes of the first scan's header if it holds all; Pillow has stopped behind it
    file.seek(-header, io.SEEK_CUR)
    if file.read(3) == bytes([0, header, colours]):
        return MAX_SCANNED
    repeated.check_scans(file, path)
    return MAX_PIXELS


def check_file(path: Path) -> None:
    """Refuse what can't be a file of an image, before it is opened: reading from a pipe could wait for ever.

    Raises:
        errors.ImageError: it is so.
    """
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


def _is_heif(beginning: bytes) -> bool:
    """Return whether a file is of HEIC's family, and not AVIF, which begins like it."""
    brands = beginning[8 : int.from_bytes(beginning[:4], "big")]
    return beginning[4:8] == b"ftyp" and b"avi" not in brands and any(b in brands for b in (b"hei", b"hev", b"mif1"))


def _open_heif(file: IO[bytes], path: Path) -> Image.Image:
    try:
        import pillow_heif  # its class alone is used: nothing is registered for others
    except ImportError:
        raise errors.ImageError(
            f"{path.name} is HEIC, which takes one more package: pip install 'rrzoo[heif]'"
        ) from None
    file.seek(0)
    try:
        picture: Image.Image = pillow_heif.HeifImageFile(file, str(path))  # type: ignore[no-untyped-call]
    except NOT_MINE as problem:
        raise errors.ImageError(f"{path.name} is damaged and can't be decoded: {problem}") from None
    return picture
