"""What a thumbnail shows, small, grey and without its frame: to lay one picture on another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 48  # px of the longer side
EDGE = 24  # of 255: by how much pixels of a frame may differ from its colour
PLAIN = 0.97  # share of a line's pixels that have to be of that colour
NEARLY = 0.95  # the same at 48 px, of the outermost lines: below it a frame is not looked for
LEAST = 0.3  # share of width and height that a frame leaves
FLAT = 3.0  # of 255: mean slope, per px, below which a picture shows too little to be told from others


@dataclass(frozen=True)
class Look:
    """One picture, without a frame of one colour."""

    canvas: np.ndarray  # uint8 (SIDE, SIDE): grey, the longer side SIDE, in the middle; its edges go on beside it
    half: tuple[float, float]  # half its width and height, of the canvas's: 1 for the longer one
    flat: bool  # it shows next to nothing: fog, night, a white page

    @classmethod
    def of(cls, thumbnail: Image.Image) -> "Look":
        """Look at an RGB picture of any size."""
        (look,) = looks_of([thumbnail])
        return look


def looks_of(thumbnails: Sequence[Image.Image]) -> list[Look]:
    """Look at RGB pictures of any sizes: many at once take half the time of one after another."""
    canvases = np.empty((len(thumbnails), SIDE, SIDE), np.uint8)
    sizes = np.array([_draw(thumbnail, canvas) for thumbnail, canvas in zip(thumbnails, canvases, strict=True)])
    for number in np.flatnonzero(_may_be_framed(canvases)).tolist():
        inner = inside_frame(np.asarray(thumbnails[number]))
        if inner != (0, 0, *thumbnails[number].size):
            sizes[number] = _draw(thumbnails[number].crop(inner), canvases[number])
    flat = _slope(canvases, sizes) < FLAT
    halves = (sizes / SIDE).tolist()
    return [Look(canvas, (x, y), bool(nothing)) for canvas, (x, y), nothing in zip(canvases, halves, flat, strict=True)]


def _draw(picture: Image.Image, canvas: np.ndarray) -> tuple[int, int]:
    """Fill uint8 (SIDE, SIDE) with a picture in the middle, its edges beside it; return its width and height there."""
    scale = SIDE / max(picture.size)
    width, height = max(8, round(picture.width * scale)), max(8, round(picture.height * scale))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    grey = np.asarray(picture.convert("L").resize((width, height), way))
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    canvas[top : top + height, left : left + width] = grey
    canvas[:top], canvas[top + height :] = canvas[top], canvas[top + height - 1]
    canvas[:, :left], canvas[:, left + width :] = canvas[:, left, None], canvas[:, left + width - 1, None]
    return width, height


def _may_be_framed(canvases: np.ndarray) -> np.ndarray:
    """Say which pictures have an outermost line that is nearly of one grey, bool (N,)."""
    lines = np.stack([canvases[:, 0], canvases[:, -1], canvases[:, :, 0], canvases[:, :, -1]], 1).astype(np.int16)
    alike = np.abs(lines - np.sort(lines, 2)[:, :, SIDE // 2, None]) <= EDGE
    framed: np.ndarray = (alike.mean(2) >= NEARLY).any(1)
    return framed


def _slope(canvases: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the mean slopes of pictures, float32 (N,), given widths and heights, int64 (N, 2)."""
    grey = canvases.astype(np.float32)
    down, across = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1], grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    first = (SIDE - sizes) // 2
    at = np.arange(1, SIDE - 1)
    inside = (at > first[..., None]) & (at < (first + sizes - 1)[..., None])
    both = inside[:, 1, :, None] & inside[:, 0, None, :]
    found: np.ndarray = (np.hypot(down, across) * both).sum((1, 2)) / both.sum((1, 2)) / 2
    return found


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
        colour = np.sort(lines[0], axis=0)[len(lines[0]) // 2].astype(np.int16)  # the median of each channel
        first = 0
        while first < len(lines) and (np.abs(lines[first] - colour) <= EDGE).all(1).mean() >= PLAIN:
            first += 1
        ends.append(first + 1 if 0 < first < len(lines) else first)  # the line where they meet is a mixture
    return ends[0], max(len(pixels) - ends[1], ends[0])
