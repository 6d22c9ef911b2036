"""Value noise: the mottling of clay, leaves, ground and clouds."""

import math

from clay10.jit import compiled


@compiled
def lattice_hash(i: int, j: int, k: int) -> float:
    """Return a fixed pseudo-random number in [0, 1) for a lattice point."""
    bits = (i * 374761393 + j * 668265263 + k * 1440662683) & 0x7FFFFFFF
    bits = ((bits ^ (bits >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((bits ^ (bits >> 16)) & 0xFFFF) / 65536.0


@compiled
def value_noise(x: float, y: float, z: float) -> float:
    """Interpolate `lattice_hash` smoothly; in [0, 1), one bump per unit of length."""
    floor_x = math.floor(x)
    floor_y = math.floor(y)
    floor_z = math.floor(z)
    x -= floor_x
    y -= floor_y
    z -= floor_z
    i = int(floor_x)
    j = int(floor_y)
    k = int(floor_z)
    x = x * x * (3 - 2 * x)
    y = y * y * (3 - 2 * y)
    z = z * z * (3 - 2 * z)
    total = 0.0
    for a in range(2):
        for b in range(2):
            weight = (x if a else 1 - x) * (y if b else 1 - y)
            near = lattice_hash(i + a, j + b, k)
            far = lattice_hash(i + a, j + b, k + 1)
            total += weight * (near * (1 - z) + far * z)
    return total


@compiled
def fractal_noise(x: float, y: float, z: float) -> float:
    """Sum three octaves of `value_noise`; in [0, 1)."""
    return (
        0.55 * value_noise(x, y, z)
        + 0.30 * value_noise(x * 2.1 + 7, y * 2.1, z * 2.1)
        + 0.15 * value_noise(x * 4.3, y * 4.3 + 5, z * 4.3)
    )
