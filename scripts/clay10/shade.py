"""The light that a ray brings back: figure, water, dry ground, wall or sky."""

import math

from clay10.field import Field, distance, surface_normal
from clay10.ground import ground_colour, wall_colour
from clay10.jit import compiled
from clay10.march import openness, sunlight, trace
from clay10.material import surface_colour
from clay10.noise import fractal_noise, value_noise
from clay10.vectors import Vector, add, advance, dot, mirrored, mixed, scaled, smoothstep, unit
from clay10.world import Ground, World, sky_colour

UP = (0.0, 1.0, 0.0)
PRECISION = 0.0012
MIRROR_PRECISION = 0.004
# Share of the light from below that reaches a surface, and light that comes from nowhere.
BOUNCE = 0.45
FILL = 0.10


@compiled
def _diffuse(world: World, normal: Vector, direct: float, openness: float, channel: int) -> float:
    """Return the light in one colour channel: sun, sky from above, ground from below, fill."""
    sky = 0.55 * world.zenith[channel] + 0.25 * world.horizon[channel]
    above = (0.5 + 0.5 * normal[1]) * openness
    below = (0.5 - 0.5 * normal[1]) * openness * BOUNCE
    sun = world.sun_colour[channel] * direct
    return sun + sky * above + world.ground_colour[channel] * below + FILL * openness


@compiled
def lit_colour(
    field: Field,
    world: World,
    point: Vector,
    normal: Vector,
    direction: Vector,
    colour: Vector,
    gloss: float,
    with_shadows: bool,
) -> Vector:
    """Return the light that a surface point of that colour sends back against the ray `direction`."""
    facing = dot(normal, world.sun)
    free = 1.0
    sun_share = 1.0
    if with_shadows:
        free = openness(field, point, normal, world.occlusion_size)
        if world.ground != Ground.NONE and normal[1] < 0.9:
            # The ground is no part of the field, so darken here what is close above it.
            lift = smoothstep(-0.02, world.occlusion_size * 0.8, point[1])
            free *= 0.55 + 0.45 * lift * (1.0 if normal[1] > 0 else 1 + 0.3 * normal[1])
        if facing > 0:
            sun_share = sunlight(field, advance(point, normal, 0.01), world.sun, world.shadow_hardness)
    direct = max(facing, 0.0) * sun_share
    colour = (
        colour[0] * _diffuse(world, normal, direct, free, 0),
        colour[1] * _diffuse(world, normal, direct, free, 1),
        colour[2] * _diffuse(world, normal, direct, free, 2),
    )
    grazing = max(0.0, 1 + dot(direction, normal))
    if gloss == 0:
        # Clay has a soft bright edge.
        return advance(colour, world.horizon, 0.10 * grazing**3 * free)
    reflected = mirrored(direction, normal)
    mirror = scaled(world.ground_colour, 0.6) if reflected[1] < 0 else sky_colour(world, reflected)
    glint = gloss * 2.2 * sun_share * max(0.0, dot(reflected, world.sun)) ** 60
    return add(mixed(colour, mirror, gloss * (0.06 + 0.8 * grazing**4) * free), (glint, glint, glint))


@compiled
def figure_colour(field: Field, world: World, point: Vector, direction: Vector, with_shadows: bool) -> Vector:
    """Return the light from a point on the figure's surface."""
    normal = surface_normal(field, point)
    colour, gloss = surface_colour(field.parts, point, normal)
    if gloss == 0:
        # Clay is mottled and slightly dented.
        x, y, z = scaled(point, 6 * world.detail)
        colour = scaled(colour, 0.88 + 0.24 * fractal_noise(x, y, z))
        x, y, z = scaled(point, 10 * world.detail)
        dent = 0.28 * (value_noise(x, y, z) - 0.5)
        other_dent = 0.28 * (value_noise(z, x, y) - 0.5)
        normal = unit(add(normal, (dent, -0.5 * dent, other_dent)))
    return lit_colour(field, world, point, normal, direction, colour, gloss, with_shadows)


@compiled
def _far_fade(world: World, length: float) -> float:
    return 1 / (1 + 0.03 * (length * world.detail) ** 2)


@compiled
def water_colour(field: Field, world: World, point: Vector, direction: Vector, length: float) -> Vector:
    """Return the light from water: its own colour, the mirrored sky and figure in small waves, foam."""
    x = point[0] * world.detail
    z = point[2] * world.detail
    wave = 0.5 * _far_fade(world, length)
    slope_x = (fractal_noise(x * 2.5 + world.seed, z * 2.5, 1.0) - 0.48) * wave
    slope_z = (fractal_noise(x * 2.5, z * 2.5 + world.seed, 9.0) - 0.48) * wave
    reflected = mirrored(direction, (slope_x, 1.0, slope_z))
    reflected = unit((reflected[0], abs(reflected[1]), reflected[2]))
    start = (point[0], 0.001, point[2])
    hit = trace(field, start, reflected, MIRROR_PRECISION)
    if hit > 0:
        mirror = figure_colour(field, world, advance(start, reflected, hit), reflected, False)
        glint = 0.0
    else:
        mirror = sky_colour(world, reflected)
        glint = 2 * max(0.0, dot(reflected, world.sun)) ** 90
    own = scaled(world.ground_colour, 0.8 + 0.5 * fractal_noise(x, z, 3.0))
    share = 0.12 + 0.75 * (1 - min(1.0, reflected[1])) ** 3
    foam = 0.35 * smoothstep(0.10 / world.detail, 0.0, distance(field, (point[0], 0.0, point[2])))
    return add(mixed(own, mirror, share), (glint + foam, glint + foam, glint + foam))


@compiled
def dry_ground_colour(field: Field, world: World, point: Vector, direction: Vector, length: float) -> Vector:
    """Return the light from the ground, with the figure's shadow and haze far away."""
    detail = world.detail
    colour = ground_colour(world, point[0] * detail, point[2] * detail, _far_fade(world, length))
    colour = lit_colour(field, world, point, UP, direction, colour, 0.0, True)
    haze = 0.55 * (1 - math.exp(-0.0003 * (length * detail) ** 2))
    return mixed(colour, world.horizon, haze)


@compiled
def _wall_length(world: World, origin: Vector, direction: Vector) -> float:
    """Return the ray length to the wall, 1e9 for none."""
    if world.wall_distance <= 0:
        return 1e9
    approach = direction[0] * world.heading[0] + direction[2] * world.heading[1]
    if approach <= 1e-3:
        return 1e9
    travelled = origin[0] * world.heading[0] + origin[2] * world.heading[1]
    return (world.wall_distance - travelled) / approach


@compiled
def ray_colour(field: Field, world: World, origin: Vector, direction: Vector) -> tuple[Vector, bool]:
    """Return the linear colour that a ray sees and whether it is the figure (or scenery built like it)."""
    to_ground = 1e9
    if world.ground != Ground.NONE and direction[1] < -1e-4:
        to_ground = -origin[1] / direction[1]
    to_figure = trace(field, origin, direction, PRECISION)
    if 0 < to_figure < to_ground:
        point = advance(origin, direction, to_figure)
        return figure_colour(field, world, point, direction, True), True
    to_wall = _wall_length(world, origin, direction)
    if to_wall < 1e8 and to_wall < to_ground:
        x, y, z = advance(origin, direction, to_wall)
        return wall_colour(world, x * world.heading[1] - z * world.heading[0], y), False
    if to_ground == 1e9:
        return sky_colour(world, direction), False
    x, _, z = advance(origin, direction, to_ground)
    if world.ground == Ground.WATER:
        return water_colour(field, world, (x, 0.0, z), direction, to_ground), False
    return dry_ground_colour(field, world, (x, 0.0, z), direction, to_ground), False
