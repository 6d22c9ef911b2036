"""Rays through the distance field: the first surface met, soft shadows and ambient occlusion."""

import numpy as np

from clay10.field import Field, distance
from clay10.jit import compiled
from clay10.vectors import Vector, advance

MAX_STEPS = 90
MAX_SHADOW_STEPS = 26


@compiled
def box_span(bounds: np.ndarray, origin: Vector, direction: Vector) -> tuple[float, float]:
    """Return where the ray enters and leaves the box; it misses where the first exceeds the second.

    `bounds` holds the lowest corner, then the highest: float64 (2, 3).
    """
    enter = 0.0
    leave = 1e9
    for axis in range(3):
        start = origin[axis]
        slope = 1 / (direction[axis] if abs(direction[axis]) > 1e-9 else 1e-9)
        low = (bounds[0, axis] - start) * slope
        high = (bounds[1, axis] - start) * slope
        enter = max(enter, min(low, high))
        leave = min(leave, max(low, high))
    return enter, leave


@compiled
def trace(field: Field, origin: Vector, direction: Vector, precision: float) -> float:
    """Return the ray length to the figure, or -1 for a miss.

    A hit is a distance below `precision` times the ray length, so that it shrinks with perspective.
    """
    length, leave = box_span(field.bounds, origin, direction)
    for _ in range(MAX_STEPS):
        if length > leave:
            return -1.0
        clearance = distance(field, advance(origin, direction, length))
        if clearance < precision * length:
            return length
        # Some distances are estimates: step a little less far than they allow.
        length += clearance * 0.92
    return -1.0


@compiled
def sunlight(field: Field, point: Vector, sun: Vector, hardness: float) -> float:
    """Return the share of sunlight at a point: 0 in shadow, 1 in the open, a soft edge between."""
    length, leave = box_span(field.bounds, point, sun)
    length = max(length, 0.02)
    share = 1.0
    for _ in range(MAX_SHADOW_STEPS):
        if length > leave:
            break
        clearance = distance(field, advance(point, sun, length))
        share = min(share, hardness * clearance / length)
        if share < 0.01:
            return 0.0
        length += min(max(clearance, 0.025), 0.5)
    return share * share * (3 - 2 * share)


@compiled
def openness(field: Field, point: Vector, normal: Vector, size: float) -> float:
    """Return how open the surroundings of a surface point are (ambient occlusion), 0 to 1.

    Four probes along the normal, out to 1.44 `size`, compare their height with the clearance found there.
    """
    closed = 0.0
    weight = 1.0
    for i in range(1, 5):
        height = size * i * i * 0.09
        clearance = distance(field, advance(point, normal, height))
        closed += weight * (height - min(height, clearance)) / (size * 0.9)
        weight *= 0.7
    return max(0.0, 1 - 1.15 * closed)
