"""From a finished scene to pixels: the camera and the loop over the picture."""

import math
from typing import NamedTuple

import numpy as np

from clay10.field import Field
from clay10.jit import compiled
from clay10.shade import ray_colour
from clay10.vectors import Vector, advance, unit
from clay10.world import World

EDGE_CONTRAST = 0.12  # pixels that differ this much from a neighbour get four samples instead of one
EXPOSURE = 1.5


class Camera(NamedTuple):
    """A camera in the plain types that compiled code takes.

    `forward`, `right` and `up` are unit directions. The picture shows offsets `half_width` each way about
    (`shift_x`, `shift_y`) on the plane one unit ahead: shifting the lens frames without turning the camera.
    """

    origin: Vector
    forward: Vector
    right: Vector
    up: Vector
    half_width: float
    shift_x: float
    shift_y: float


@compiled
def _exposed(light: float) -> float:
    """Compress linear light to 0...1 like film does."""
    return 1 - math.exp(-EXPOSURE * max(light, 0.0))


@compiled
def _sample(field: Field, world: World, camera: Camera, u: float, v: float) -> tuple[Vector, bool]:
    """Return exposed colour and hit at picture position u (right) and v (up), each -1 to 1."""
    direction = advance(camera.forward, camera.right, u * camera.half_width + camera.shift_x)
    direction = unit(advance(direction, camera.up, v * camera.half_width + camera.shift_y))
    (r, g, b), is_figure = ray_colour(field, world, camera.origin, direction)
    return (_exposed(r), _exposed(g), _exposed(b)), is_figure


@compiled
def _contrast(image: np.ndarray, row: int, column: int) -> float:
    """Return the largest difference of a pixel to its eight neighbours in any channel."""
    largest = 0.0
    last = image.shape[0] - 1
    for y in range(max(0, row - 1), min(last, row + 1) + 1):
        for x in range(max(0, column - 1), min(last, column + 1) + 1):
            for channel in range(3):
                largest = max(largest, abs(image[row, column, channel] - image[y, x, channel]))
    return largest


@compiled
def paint(field: Field, world: World, camera: Camera, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture, float64 (size, size, 3) in 0...1, and the figure's mask, bool (size, size)."""
    first = np.zeros((size, size, 3))
    mask = np.zeros((size, size), np.bool_)
    for row in range(size):
        for column in range(size):
            u = (column + 0.5) / size * 2 - 1
            v = 1 - (row + 0.5) / size * 2
            colour, is_figure = _sample(field, world, camera, u, v)
            mask[row, column] = is_figure
            for channel in range(3):
                first[row, column, channel] = math.sqrt(colour[channel])
    image = first.copy()
    for row in range(size):
        for column in range(size):
            if _contrast(first, row, column) < EDGE_CONTRAST:
                continue
            total = np.zeros(3)
            for sample in range(4):
                # Four samples, no two in one row or column of the 4 x 4 cells of the pixel.
                u = (column + 0.125 + 0.25 * ((sample * 2 + 1) % 4)) / size * 2 - 1
                v = 1 - (row + 0.125 + 0.25 * sample) / size * 2
                colour, _ = _sample(field, world, camera, u, v)
                for channel in range(3):
                    total[channel] += colour[channel]
            for channel in range(3):
                image[row, column, channel] = math.sqrt(total[channel] / 4)
    return image, mask
