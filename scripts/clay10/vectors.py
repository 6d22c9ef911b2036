"""Points, directions and linear RGB colours as plain triples of floats, for compiled code."""

import math

from clay10.jit import compiled

Vector = tuple[float, float, float]


@compiled
def add(a: Vector, b: Vector) -> Vector:
    """Return `a + b`."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@compiled
def scaled(a: Vector, factor: float) -> Vector:
    """Return `factor * a`."""
    return a[0] * factor, a[1] * factor, a[2] * factor


@compiled
def advance(origin: Vector, direction: Vector, length: float) -> Vector:
    """Return the point `length` along `direction` from `origin`."""
    return (
        origin[0] + length * direction[0],
        origin[1] + length * direction[1],
        origin[2] + length * direction[2],
    )


@compiled
def dot(a: Vector, b: Vector) -> float:
    """Return the scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def unit(a: Vector) -> Vector:
    """Return `a` scaled to length one; the zero vector stays near zero."""
    return scaled(a, 1 / math.sqrt(dot(a, a) + 1e-20))


@compiled
def mirrored(direction: Vector, normal: Vector) -> Vector:
    """Return `direction` reflected by the plane with that normal."""
    return advance(direction, normal, -2 * dot(direction, normal))


@compiled
def mixed(a: Vector, b: Vector, weight: float) -> Vector:
    """Return `a` for weight 0, `b` for weight 1, a linear mixture between."""
    return advance(a, (b[0] - a[0], b[1] - a[1], b[2] - a[2]), weight)


@compiled
def smoothstep(start: float, end: float, x: float) -> float:
    """Rise smoothly from 0 at `start` to 1 at `end` (which may lie below `start`)."""
    x = min(1.0, max(0.0, (x - start) / (end - start)))
    return x * x * (3 - 2 * x)
