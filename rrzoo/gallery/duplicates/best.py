"""Which of several copies to keep: pixels, sharpness, and how little they are compressed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from rrzoo import errors, images
from rrzoo.gallery.duplicates.looks import inside_frame

SAME_SHAPE = 0.03  # by which the logarithms of width / height may differ
ORIENTATIONS_ON_THE_SIDE = (5, 6, 7, 8)  # of EXIF


@dataclass(frozen=True)
class Quality:
    """What can be said of a copy by its file."""

    width: int  # px, as a viewer shows it
    height: int
    bytes: int
    sharpness: float  # share of the picture's contrast that is lost at half the size, 0 to 1
    worth: float  # more is better: see `of`

    @classmethod
    def of(cls, path: Path) -> "Quality | None":
        """Look at a file; None where it can't be read any more.

        Its worth is pixels times the roots of sharpness and bytes. Pixels are those within a frame of one colour. What
        was enlarged has more of them, but is less sharp; what was compressed has fewer bytes.
        """
        try:
            pixels, size = images.read(path), path.stat().st_size
        except (errors.ImageError, OSError):
            return None
        width, height = _shown(path) or (pixels.shape[1], pixels.shape[0])
        left, top, right, bottom = inside_frame(pixels)
        inside = (right - left) * (bottom - top) / (pixels.shape[0] * pixels.shape[1])
        grey = Image.fromarray(pixels).convert("L").crop((left, top, right, bottom))
        sharpness = _sharpness(grey)
        return cls(width, height, size, sharpness, width * height * inside * (sharpness * size) ** 0.5)


def best_first(qualities: Sequence[Quality | None]) -> list[int]:
    """Return the numbers of copies, best first.

    Those of the shape that most of them have come first: a screenshot, a frame or a wide crop changes it.
    """
    shapes = np.log([one.width / one.height if one else 1e-9 for one in qualities])
    alike = (np.abs(shapes[:, None] - shapes) < SAME_SHAPE).sum(1)
    usual = alike == alike.max()
    worth = [one.worth if one else -1.0 for one in qualities]
    return sorted(range(len(qualities)), key=lambda number: (not usual[number], -worth[number]))


def _shown(path: Path) -> tuple[int, int] | None:
    """Return width and height as a viewer shows them: `images.read` may make large JPEGs smaller."""
    try:
        with Image.open(path, formats=images.FORMATS) as opened:
            on_its_side = opened.getexif().get(ExifTags.Base.Orientation) in ORIENTATIONS_ON_THE_SIDE
            return (opened.height, opened.width) if on_its_side else (opened.width, opened.height)
    except images.DECODING:
        return None


def _sharpness(grey: Image.Image) -> float:
    half = grey.resize((max(1, grey.width // 2), max(1, grey.height // 2)), Image.Resampling.BOX)
    back = np.asarray(half.resize(grey.size, Image.Resampling.BICUBIC), np.float32)
    whole = np.asarray(grey, np.float32)
    return float(np.clip((whole - back).std() / max(float(whole.std()), 1.0), 0, 1))
