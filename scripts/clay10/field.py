"""The figure as a signed distance field: parts, their distances and how they flow into each other.

A figure is a one-dimensional array of `PART` records. Every part lives in its own frame (`centre`, `axes`);
lengths are world units, about one to a body. Distances are negative inside.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from clay10.jit import compiled
from clay10.vectors import Vector, unit


class Shape(IntEnum):
    """What a part is in its own frame, and what `lengths`, `bend` and the tapers mean for it.

    - CONE: a ball of radius lengths[0] at the centre, one of radius lengths[1] at z = lengths[2], and all
      between them; x is stretched by `bend`.
    - ELLIPSOID: half axes `lengths`.
    - BOX: half sizes `lengths`, edges rounded by `rounding`. x narrows along z by `taper_z`, x and z narrow
      along y by `taper_y`, and x slides along z by `bend` (a swept wing).
    - CYLINDER: radius lengths[0] about z, half length lengths[2], rims rounded by `rounding`.
    - HULL: a ship's hull with half sizes `lengths`. The bow at +z closes from z = taper_z * lengths[2] on,
      the keel is narrower than the deck by `taper_y`, and both ends rise by `bend`.
    """

    CONE = 0
    ELLIPSOID = 1
    BOX = 2
    CYLINDER = 3
    HULL = 4


PART = np.dtype(
    [
        ("kind", np.int64),
        ("centre", np.float64, 3),
        ("axes", np.float64, (3, 3)),  # the part's x, y and z directions in the world, one a row
        ("lengths", np.float64, 3),
        ("bend", np.float64),
        ("rounding", np.float64),
        ("blend", np.float64),  # width of the smooth seam to the parts before it; 0 for a sharp one
        ("middle", np.float64, 3),
        ("reach", np.float64),  # radius of a ball about the middle that contains the part
        ("hollow", np.int64),  # 1: cut this part out of the parts before it
        ("taper_z", np.float64),
        ("taper_y", np.float64),
        ("colour", np.float64, 3),
        ("second_colour", np.float64, 3),
        ("pattern", np.int64),  # how the two colours mix, see `material.Pattern`
        ("pattern_scale", np.float64),
        ("gloss", np.float64),  # 0 for clay, up to 1 for glass
    ]
)


class Field(NamedTuple):
    """A whole figure in the plain types that compiled code takes.

    `parts` is an array of `PART`; `bounds`, float64 (2, 3), is the box about them: lowest corner, highest
    corner.
    """

    parts: np.ndarray
    bounds: np.ndarray


@compiled
def cone_distance(x: float, y: float, z: float, start: float, end: float, length: float) -> float:
    """Distance to a round cone: the hull of balls of radius `start` at 0 and `end` at z = `length`."""
    across = math.sqrt(x * x + y * y)
    slope = (start - end) / length
    level = math.sqrt(1 - slope * slope)
    height = level * z - slope * across
    if height < 0:
        return math.sqrt(across * across + z * z) - start
    if height > level * length:
        return math.sqrt(across * across + (z - length) ** 2) - end
    return level * across + slope * z - start


@compiled
def ellipsoid_distance(x: float, y: float, z: float, a: float, b: float, c: float) -> float:
    """Distance to an ellipsoid with those half axes: exact at the surface, an estimate elsewhere."""
    x /= a
    y /= b
    z /= c
    radius = math.sqrt(x * x + y * y + z * z)
    gradient = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    return radius * (radius - 1) / max(gradient, 1e-9)


@compiled
def box_distance(x: float, y: float, z: float, a: float, b: float, c: float, rounding: float) -> float:
    """Distance to a box with those half sizes and rounded edges."""
    u = abs(x) - a + rounding
    v = abs(y) - b + rounding
    w = abs(z) - c + rounding
    outside = math.sqrt(max(u, 0.0) ** 2 + max(v, 0.0) ** 2 + max(w, 0.0) ** 2)
    return min(max(u, v, w), 0.0) + outside - rounding


@compiled
def cylinder_distance(x: float, y: float, z: float, radius: float, half: float, rounding: float) -> float:
    """Distance to a cylinder about z with that radius, half length and rounded rims."""
    u = math.sqrt(x * x + y * y) - radius + rounding
    v = abs(z) - half + rounding
    return min(max(u, v), 0.0) + math.sqrt(max(u, 0.0) ** 2 + max(v, 0.0) ** 2) - rounding


@compiled
def _tapered_box_distance(part: np.record, x: float, y: float, z: float) -> float:
    a = part.lengths[0]
    b = part.lengths[1]
    c = part.lengths[2]
    shear = part.bend
    x -= shear * z
    narrow_z = 1 - part.taper_z * min(1.0, max(-1.0, z / c))
    narrow_y = 1 - part.taper_y * min(1.0, max(-1.0, y / b))
    # Slanted sides make the box distance too long; dividing by the steepest slope keeps it a lower bound.
    slope_x = abs(part.taper_z) * a / c + abs(shear)
    slope_y = part.taper_y * max(a, c) / b
    shrink = 1 / math.sqrt(1 + slope_x**2 + slope_y**2)
    return shrink * box_distance(x, y, z, a * narrow_z * narrow_y, b, c * narrow_y, part.rounding)


@compiled
def _hull_distance(part: np.record, x: float, y: float, z: float) -> float:
    a = part.lengths[0]
    b = part.lengths[1]
    c = part.lengths[2]
    station = z / c
    bow = max(0.0, (station - part.taper_z) / (1 - part.taper_z))
    stern = max(0.0, -station)
    y -= part.bend * station * station * (1.4 if station > 0 else 0.7)
    depth = 1 - min(1.0, max(-1.0, y / b))
    a *= (1 - bow**2 - 0.15 * stern**2) * (1 - part.taper_y * depth * 0.5)
    c *= 1 - 0.08 * depth
    return 0.6 * box_distance(x, y, z, a, b, c, part.rounding)


@compiled
def local_point(part: np.record, point: Vector) -> Vector:
    """Return the world point in the part's own frame."""
    x = point[0] - part.centre[0]
    y = point[1] - part.centre[1]
    z = point[2] - part.centre[2]
    axes = part.axes
    return (
        axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z,
        axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z,
        axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z,
    )


@compiled
def part_distance(part: np.record, point: Vector) -> float:
    """Return the distance of a world point to one part."""
    x, y, z = local_point(part, point)
    lengths = part.lengths
    kind = part.kind
    if kind == Shape.CONE:
        # Undo the stretch along x, measure, and scale the length back.
        return part.bend * cone_distance(x / part.bend, y, z, lengths[0], lengths[1], lengths[2])
    if kind == Shape.ELLIPSOID:
        return ellipsoid_distance(x, y, z, lengths[0], lengths[1], lengths[2])
    if kind == Shape.CYLINDER:
        return cylinder_distance(x, y, z, lengths[0], lengths[2], part.rounding)
    if kind == Shape.BOX:
        return _tapered_box_distance(part, x, y, z)
    return _hull_distance(part, x, y, z)


@compiled
def within_reach(part: np.record, point: Vector, margin: float) -> bool:
    """Tell whether the point is nearer than `margin` to the ball around the part."""
    x = point[0] - part.middle[0]
    y = point[1] - part.middle[1]
    z = point[2] - part.middle[2]
    limit = part.reach + margin
    return x * x + y * y + z * z <= limit * limit


@compiled
def smooth_union(a: float, b: float, width: float) -> float:
    """Join two distances by a fillet of that width (> 0): polynomial smooth minimum."""
    overlap = max(width - abs(a - b), 0.0) / width
    return min(a, b) - overlap * overlap * width * 0.25


@compiled
def distance(field: Field, point: Vector) -> float:
    """Return the distance of a world point to the whole figure; parts join, or cut, in their order."""
    nearest = 1e3
    for i in range(field.parts.shape[0]):
        part = field.parts[i]
        # Parts too far to change the result need no exact distance.
        margin = part.blend + (0.0 if part.hollow else max(nearest, 0.0))
        if not within_reach(part, point, margin):
            continue
        own = part_distance(part, point)
        if part.hollow:
            nearest = max(nearest, -own)
        elif part.blend > 0:
            nearest = smooth_union(nearest, own, part.blend)
        else:
            nearest = min(nearest, own)
    return nearest


@compiled
def surface_normal(field: Field, point: Vector) -> Vector:
    """Return the unit normal at a surface point, from four distances at the corners of a tetrahedron."""
    e = 0.004
    x, y, z = point
    a = distance(field, (x + e, y - e, z - e))
    b = distance(field, (x - e, y - e, z + e))
    c = distance(field, (x - e, y + e, z - e))
    d = distance(field, (x + e, y + e, z + e))
    return unit((a - b - c + d, -a - b + c + d, -a + b - c + d))
