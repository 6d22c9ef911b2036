"""What surrounds the figure: the description of light, sky, ground and wall, and the look of the sky."""

import math
from enum import IntEnum
from typing import NamedTuple

from clay10.jit import compiled
from clay10.noise import fractal_noise, lattice_hash, value_noise
from clay10.vectors import Vector, mixed, scaled, smoothstep


class Ground(IntEnum):
    """What lies at y = 0."""

    NONE = 0
    GRASS = 1
    ASPHALT = 2
    EARTH = 3
    SNOW = 4
    WATER = 5
    PLANKS = 6
    TILES = 7


class Backdrop(IntEnum):
    """What stands at the horizon; BRICKS is the pattern of a wall."""

    NONE = 0
    HILLS = 1
    TREES = 2
    SKYLINE = 3
    FOLIAGE = 4
    BRICKS = 5


class World(NamedTuple):
    """Surroundings of the figure, in the plain types that compiled code takes; colours are linear RGB.

    `heading` is the camera's horizontal direction (x, z); the wall stands across it, `wall_distance` from the
    origin (0: no wall). `detail` counts texture features a unit of length, `occlusion_size` is a length.
    `lane` is the distance of the lane marks from the middle of the road (0: none), `seed` shifts all noise.
    """

    sun: Vector
    shadow_hardness: float
    sun_colour: Vector
    zenith: Vector
    horizon: Vector
    ground: int
    ground_colour: Vector
    ground_second_colour: Vector
    backdrop: int
    backdrop_colour: Vector
    clouds: float
    wall_distance: float
    heading: tuple[float, float]
    detail: float
    occlusion_size: float
    lane: float
    seed: float


SKYLINE_BLOCKS = 11  # houses a radian


@compiled
def _backdrop_height(world: World, azimuth: float) -> float:
    """Return the height of the backdrop's upper edge, as the y of a unit direction."""
    seed = world.seed
    if world.backdrop == Backdrop.HILLS:
        return 0.03 + 0.16 * fractal_noise(azimuth * 2.2 + seed, seed, 1.0)
    if world.backdrop == Backdrop.TREES:
        crowns = 0.07 * value_noise(azimuth * 22, seed, 2.0)
        return 0.04 + 0.10 * fractal_noise(azimuth * 3 + seed, seed, 1.0) + crowns
    if world.backdrop == Backdrop.SKYLINE:
        house = math.floor(azimuth * SKYLINE_BLOCKS + seed)
        return 0.02 + 0.26 * lattice_hash(house, int(seed), 3) ** 2
    return 9.0


@compiled
def _backdrop_brightness(world: World, direction: Vector, azimuth: float) -> float:
    x, y, z = direction
    seed = world.seed
    if world.backdrop == Backdrop.HILLS:
        return 0.8 + 0.3 * fractal_noise(azimuth * 9, y * 22, seed)
    if world.backdrop == Backdrop.TREES:
        return 0.45 + 0.9 * fractal_noise(azimuth * 16, y * 26, seed)
    if world.backdrop == Backdrop.SKYLINE:
        house = math.floor(azimuth * SKYLINE_BLOCKS + seed)
        window = math.sin(azimuth * 190) * math.sin(y * 210) > 0.35
        return (0.8 + 0.4 * lattice_hash(house, 5, 7)) * (0.88 if window else 1.0)
    leaves = fractal_noise(x * 4 + seed, y * 4, z * 4) ** 1.5
    glints = smoothstep(0.68, 0.8, value_noise(x * 9, y * 9 + seed, z * 9))
    return 0.25 + 1.3 * leaves + 0.9 * glints


@compiled
def sky_colour(world: World, direction: Vector) -> Vector:
    """Return the linear colour seen in a unit direction that meets neither figure, ground nor wall."""
    x, y, z = direction
    height = min(max(y, 0.0), 1.0)
    colour = mixed(world.horizon, world.zenith, 1 - (1 - height) ** 3)
    if world.clouds > 0:
        spread = 1.6 / (abs(y) + 0.25)
        noise = fractal_noise(x * spread + world.seed, y * 3, z * spread)
        cover = 0.85 * smoothstep(0.62 - 0.3 * world.clouds, 0.8 - 0.2 * world.clouds, noise)
        white = (world.sun_colour[0] + world.sun_colour[1] + world.sun_colour[2]) * 0.30
        colour = mixed(colour, (white, white, white * 1.02), cover)
    if world.backdrop != Backdrop.NONE:
        azimuth = math.atan2(x, z)
        edge = _backdrop_height(world, azimuth)
        cover = smoothstep(edge + 0.008, edge - 0.008, y)
        if cover > 0:
            painted = scaled(world.backdrop_colour, _backdrop_brightness(world, direction, azimuth))
            haze = 0.0 if world.backdrop == Backdrop.FOLIAGE else 0.28
            colour = mixed(colour, mixed(painted, world.horizon, haze), cover)
    return colour
