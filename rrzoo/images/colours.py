"""Whatever a file's pixels are, as a viewer shows them: uint8 RGB, of sRGB's colours, the right way up."""

import io
import struct
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from rrzoo import errors

ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SPACES = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}  # of a profile -> mode of the pixels that it describes
MAX_PROFILE = 4_000_000  # bytes; larger ones, which no device writes, are ignored


def to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """Return a decoded image as uint8 RGB (H, W, 3).

    Raises:
        errors.ImageError: its pixels are floating-point numbers that make no picture.
    """
    turn, profile = _turn(image), image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 or 32 bits; PIL's own conversion clips at 255
        grey = np.clip(np.asarray(image), 0, 65535)
        image = Image.fromarray(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        image = _scaled(image, name)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    if image.mode not in SPACES.values():
        image = image.convert("RGB")
    if profile:
        image = _to_srgb(image, profile)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image if turn is None else image.transpose(turn))


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what brings a picture the right way up; None where nothing does, or its EXIF is damaged."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, struct.error):
        return None


def _scaled(image: Image.Image, name: str) -> Image.Image:
    """Return floating-point grey as 8 bits: of 0 to 1 as it is meant, else from its least to its largest value."""
    values = np.asarray(image)
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    if low >= 0 and 0 < high <= 1:
        low, high = 0.0, 1.0
    if not high > low:
        raise errors.ImageError(f"{name} holds floating-point numbers that make no picture: save it with 8 or 16 bits")
    filled = np.where(known, values, low).astype(np.float64)
    return Image.fromarray(np.round((filled - low) * (255 / (high - low))).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Return an image of a profile's colours in those of sRGB; where the profile is sRGB or broken, as it is."""
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE:
        return image
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    try:
        return ImageCms.applyTransform(image, transform) or image
    except (ImageCms.PyCMSError, ValueError):
        return image


@lru_cache(16)  # the pictures of a folder come from few cameras
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if SPACES.get(opened.profile.xcolor_space) != mode or "sRGB" in (opened.profile.profile_description or ""):
            return None
        return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
