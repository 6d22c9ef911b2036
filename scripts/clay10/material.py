"""What surfaces look like: the two colours of a part, mixed by a pattern, and how parts blend theirs."""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from clay10.field import local_point, part_distance, within_reach
from clay10.jit import compiled
from clay10.noise import fractal_noise, value_noise
from clay10.palette import Colour
from clay10.vectors import Vector, add, mixed, scaled, smoothstep


class Pattern(IntEnum):
    """How a part's second colour lies on its first, and what `pattern_scale` means.

    The coats lie in world space, so that they run on from part to part; the others in the part's own frame.
    """

    PLAIN = 0
    BELLY = 1  # below
    TABBY = 2  # stripes; radians a unit of length
    PATCHES = 3  # large, irregular; patches a unit of length
    SPOTS = 4  # small, on the back; spots a unit of length
    CABIN_WINDOWS = 5  # a row along z, on the sides of a CONE; radians a unit
    WINDOW_GRID = 6  # rows and columns of a BOX; radians a unit
    WATERLINE = 7  # below that share of the half height of a BOX or HULL
    CORRUGATED = 8  # along z; radians a unit
    STRIPE = 9  # a band at that share of lengths[1]


class Material(NamedTuple):
    """What a part's surface looks like; without a second colour a pattern does not show."""

    colour: Colour
    second_colour: Colour | None = None
    pattern: Pattern = Pattern.PLAIN
    pattern_scale: float = 1.0
    gloss: float = 0.0


@compiled
def second_colour_share(part: np.record, point: Vector, normal: Vector) -> float:
    """Return how much of the part's second colour shows at a surface point, 0 to 1."""
    pattern = part.pattern
    scale = part.pattern_scale
    x, y, z = point
    if pattern == Pattern.PLAIN:
        return 0.0
    if pattern == Pattern.BELLY:
        return smoothstep(0.1, -0.55, normal[1] + 0.5 * (value_noise(x * 9, y * 9, z * 9) - 0.5))
    if pattern == Pattern.TABBY:
        wave = math.sin(scale * (z + 0.5 * y + 0.22 * value_noise(x * 6, y * 6, z * 6)))
        return smoothstep(-0.1, 0.35, wave) * smoothstep(-0.75, 0.1, normal[1])
    if pattern == Pattern.PATCHES:
        return smoothstep(0.5, 0.54, fractal_noise(x * scale + 31, y * scale, z * scale + scale * 3))
    if pattern == Pattern.SPOTS:
        return smoothstep(0.66, 0.74, value_noise(x * scale, y * scale, z * scale)) * smoothstep(-0.4, 0.1, normal[1])
    _, up, along = local_point(part, point)
    height = part.lengths[1]
    if pattern == Pattern.CABIN_WINDOWS:
        radius = part.lengths[0]
        in_row = 1.0 if abs(up - radius * 0.22) < radius * 0.13 else 0.0
        return in_row * smoothstep(-0.3, 0.1, math.sin(along * scale))
    if pattern == Pattern.WINDOW_GRID:
        columns = smoothstep(0.0, 0.3, math.sin(along * scale))
        return columns * smoothstep(0.1, 0.3, math.sin((up + 9 * height) * scale * 0.55))
    if pattern == Pattern.WATERLINE:
        return 1.0 if up < scale * height else 0.0
    if pattern == Pattern.CORRUGATED:
        return 0.5 + 0.5 * math.sin(along * scale)
    return 1.0 if abs(up - scale * height) < 0.22 * height else 0.0


@compiled
def surface_colour(parts: np.ndarray, point: Vector, normal: Vector) -> tuple[Vector, float]:
    """Return linear colour and gloss at a surface point; where parts blend, so do their colours."""
    nearest = 1e9
    for i in range(parts.shape[0]):
        part = parts[i]
        if part.hollow == 0 and within_reach(part, point, 0.1):
            nearest = min(nearest, part_distance(part, point))
    colour = (0.0, 0.0, 0.0)
    gloss = 0.0
    total = 1e-9
    for i in range(parts.shape[0]):
        part = parts[i]
        if part.hollow or not within_reach(part, point, 0.1):
            continue
        weight = 1 - (part_distance(part, point) - nearest) / (0.3 * part.blend + 0.004)
        if weight <= 0:
            continue
        weight *= weight
        first = (part.colour[0], part.colour[1], part.colour[2])
        second = (part.second_colour[0], part.second_colour[1], part.second_colour[2])
        share = second_colour_share(part, point, normal)
        colour = add(colour, scaled(mixed(first, second, share), weight))
        gloss += weight * part.gloss
        total += weight
    return scaled(colour, 1 / total), gloss / total
