"""What a thumbnail shows, small, grey and without its frame: to lay one picture on another."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 48  # px of the longer side
EDGE = 24  # of 255: by how much pixels of a frame may differ from its colour
PLAIN = 0.97  # share of a line's pixels that have to be of that colour
LEAST = 0.3  # share of width and height that a frame leaves
FLAT = 3.0  # of 255: mean slope, per px, below which a picture shows too little to be told from others


@dataclass(frozen=True)
class Look:
    """One picture, without a frame of one colour."""

    grey: np.ndarray  # uint8 (h, w), the longer side SIDE
    flat: bool  # it shows next to nothing: fog, night, a white page

    @classmethod
    def of(cls, thumbnail: Image.Image) -> "Look":
        """Look at an RGB picture of any size."""
        inner = thumbnail.convert("L").crop(inside_frame(np.asarray(thumbnail)))
        scale = SIDE / max(inner.size)
        size = max(8, round(inner.width * scale)), max(8, round(inner.height * scale))
        grey = np.asarray(inner.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
        slopes = np.hypot(*np.gradient(grey.astype(np.float32)))
        return cls(grey, bool(slopes.mean() < FLAT))


def inside_frame(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what a frame of one colour leaves of uint8 (H, W, 3).

    Where that would be nearly nothing the picture is plain itself, and has no frame.
    """
    height, width = pixels.shape[:2]
    top, bottom = _ends(pixels)
    if bottom - top < LEAST * height:
        return 0, 0, width, height
    left, right = _ends(pixels[top:bottom].swapaxes(0, 1))
    return (0, top, width, bottom) if right - left < LEAST * width else (left, top, right, bottom)


def _ends(pixels: np.ndarray) -> tuple[int, int]:
    """Return where the first and the last line are that are not of the first or last line's colour."""
    ends = []
    for lines in (pixels, pixels[::-1]):
        colour = np.median(lines[0], axis=0).astype(np.int16)
        first = 0
        while first < len(lines) and (np.abs(lines[first] - colour).max(1) <= EDGE).mean() >= PLAIN:
            first += 1
        ends.append(first + 1 if 0 < first < len(lines) else first)  # the line where they meet is a mixture
    return ends[0], max(len(pixels) - ends[1], ends[0])
