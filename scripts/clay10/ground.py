"""Textures of the ground and of the wall behind the figure."""

import math

from clay10.jit import compiled
from clay10.noise import fractal_noise, lattice_hash, value_noise
from clay10.vectors import Vector, mixed, scaled, smoothstep
from clay10.world import Backdrop, Ground, World

LANE_PAINT = (0.75, 0.73, 0.62)
LANE_HALF_WIDTH = 0.07


@compiled
def _grain(world: World, x: float, z: float) -> tuple[float, float]:
    """Return the share of the ground's second colour and the fine grain about 0.5."""
    kind = world.ground
    if kind == Ground.PLANKS:
        plank = math.floor(x * 2.6)
        shift = lattice_hash(plank, 1, 1)
        share = lattice_hash(plank, math.floor(z * 0.5 + shift), 4)
        joint = 0.4 if x * 2.6 - plank < 0.05 else 1.0
        return share, fractal_noise(x * 14, 2.0, z * 1.6) * joint
    if kind == Ground.TILES:
        return (math.floor(x * 1.3) + math.floor(z * 1.3)) % 2.0, 0.5
    share = fractal_noise(x * 1.3 + world.seed, 0.0, z * 1.3)
    if kind == Ground.GRASS:
        return share, 0.6 * value_noise(x * 14, 1.0, z * 14) + 0.4 * value_noise(x * 30, 2.0, z * 30)
    if kind == Ground.ASPHALT:
        return share, 0.3 + 0.4 * value_noise(x * 18, 3.0, z * 18)
    if kind == Ground.EARTH:
        pebbles = smoothstep(0.8, 0.9, value_noise(x * 14, 5.0, z * 14))
        return share, fractal_noise(x * 7, 3.0, z * 7) + 0.5 * pebbles
    return share, fractal_noise(x * 3, 3.0, z * 3)


@compiled
def _on_lane_mark(world: World, x: float, z: float) -> bool:
    if world.lane <= 0 or abs(abs(x) - world.lane) >= LANE_HALF_WIDTH:
        return False
    # Lines at the edges are solid, those between lanes are dashed.
    return world.lane > 2 or math.sin(z * 2) > -0.2


@compiled
def ground_colour(world: World, x: float, z: float, fade: float) -> Vector:
    """Return the unlit colour of dry ground; x and z in texture units, `fade` (0 to 1) tames far grain."""
    share, grain = _grain(world, x, z)
    contrast = 0.25 if world.ground == Ground.SNOW else 0.75
    brightness = 1 + (grain - 0.5) * contrast * (0.1 + 0.9 * fade)
    if world.ground == Ground.ASPHALT and _on_lane_mark(world, x, z):
        return LANE_PAINT
    return scaled(mixed(world.ground_colour, world.ground_second_colour, share), brightness)


@compiled
def wall_colour(world: World, along: float, height: float) -> Vector:
    """Return the lit colour of the wall at that place along it and height, in world units."""
    detail = world.detail
    brightness = 0.85 + 0.3 * fractal_noise(along * 3 * detail + world.seed, height * 3 * detail, 1.0)
    if world.backdrop == Backdrop.BRICKS:
        courses = height * detail * 26
        stagger = 3.1416 * math.floor(courses / 6.2832 + 0.25)
        if math.sin(courses) > 0.93 or math.sin(along * detail * 11 + stagger) > 0.97:
            brightness *= 0.62
    elif height < 0.10 / detail:
        brightness *= 1.35  # skirting board
    brightness *= 0.55 + 0.25 * smoothstep(0.0, 2.0 / detail, height)
    colour = world.backdrop_colour
    sun = world.sun_colour
    return colour[0] * brightness * sun[0], colour[1] * brightness * sun[1], colour[2] * brightness * sun[2]
