"""Light, sky, ground and backdrop for the place where a figure is shown."""

import math
from typing import NamedTuple

from clay10.camera import View
from clay10.dice import Dice
from clay10.palette import dimmed
from clay10.staging import Place, Staging
from clay10.world import Backdrop, Ground, World


class _Mood(NamedTuple):
    """Linear colour of the sun, sRGB colours of zenith and horizon, share of clouds."""

    sun: tuple[float, float, float]
    zenith: str
    horizon: str
    clouds: float


MOODS = {
    "clear": _Mood((1.35, 1.25, 1.08), "#3f7cc9", "#b9d6ee", 0.0),  # clouds are drawn
    "warm": _Mood((1.6, 1.1, 0.65), "#5a7fb8", "#f2c99a", 0.5),
    "grey": _Mood((0.65, 0.67, 0.7), "#a9b4c0", "#d5dade", 0.9),
    "hazy": _Mood((1.1, 1.05, 0.95), "#86aed0", "#dfe6e8", 0.4),
    "room": _Mood((1.15, 1.05, 0.92), "#b8bcc0", "#d9d2c6", 0.0),
}
GROUNDS: dict[Place, tuple[Ground, ...]] = {
    "pet": (Ground.PLANKS, Ground.PLANKS, Ground.TILES, Ground.GRASS),
    "field": (Ground.GRASS, Ground.GRASS, Ground.EARTH, Ground.SNOW, Ground.EARTH),
    "forest": (Ground.GRASS, Ground.GRASS, Ground.EARTH, Ground.SNOW),
    "canopy": (Ground.NONE,),
    "sky": (Ground.NONE,),
    "water": (Ground.WATER,),
    "road": (Ground.ASPHALT, Ground.ASPHALT, Ground.ASPHALT, Ground.EARTH, Ground.SNOW),
    "runway": (Ground.ASPHALT,),
}
# Pairs of sRGB colours that mix in patches.
GROUND_COLOURS = {
    Ground.GRASS: (("#4f7d2e", "#7a9a45"), ("#3f6a2a", "#5f8a3a"), ("#8a8a45", "#a89a5a")),
    Ground.ASPHALT: (("#5a5a5e", "#6e6e70"), ("#3f4044", "#505154"), ("#8a8884", "#9a9894")),
    Ground.EARTH: (("#b59a6e", "#cbb48a"), ("#7a5c40", "#94734f"), ("#a08a70", "#6f7a45")),
    Ground.SNOW: (("#c4ccd6", "#d4d8de"),),
    Ground.WATER: (
        ("#1f4a66", "#1f4a66"),
        ("#1f5a5a", "#1f5a5a"),
        ("#34506a", "#34506a"),
        ("#2a6f8f", "#2a6f8f"),
    ),
    Ground.PLANKS: (("#a8743f", "#8a5a2e"), ("#c9a06a", "#b58a54"), ("#6a4a34", "#54382a")),
    Ground.TILES: (("#d9d4c8", "#8f8a80"), ("#e6e2da", "#c9b9a0"), ("#b8c4c8", "#e6eaea")),
}
# Without ground these only tint the light from below.
BELOW_SKY = ("#b4c0c4", "#b4c0c4")
BELOW_CANOPY = ("#5a7a45", "#5a7a45")
BACKDROPS: dict[Place, tuple[Backdrop, ...]] = {
    "pet": (Backdrop.NONE,),
    "field": (Backdrop.HILLS, Backdrop.TREES, Backdrop.TREES),
    "forest": (Backdrop.TREES, Backdrop.FOLIAGE),
    "canopy": (Backdrop.FOLIAGE,),
    "sky": (Backdrop.NONE,),
    "water": (Backdrop.NONE, Backdrop.HILLS, Backdrop.HILLS, Backdrop.SKYLINE, Backdrop.TREES),
    "road": (Backdrop.HILLS, Backdrop.TREES, Backdrop.SKYLINE, Backdrop.SKYLINE),
    "runway": (Backdrop.HILLS, Backdrop.TREES, Backdrop.SKYLINE),
}
BACKDROP_COLOURS = {
    Backdrop.NONE: ("#888888",),
    Backdrop.HILLS: ("#5a7a5a", "#6a7f94", "#8a8060"),
    Backdrop.TREES: ("#3f6a2e", "#4f6f35", "#7a6a2e", "#2f5538"),
    Backdrop.SKYLINE: ("#7f8590", "#9a8a7f", "#6f7a88"),
    Backdrop.FOLIAGE: ("#4f8038", "#3f6a30", "#7a8a3f", "#8a7a3a"),
}
HEDGE = ("#3f6a2e", "#4f6f35")
WALLS = ("#d8c9b0", "#b9c9c4", "#c9b0a8", "#a8b4c4", "#8f9a80", "#e2ded4")
BRICK_RED, WALL_BLUE = "#b0604a", "#5f7a8a"


class _Sky(NamedTuple):
    sun: tuple[float, float, float]
    shadow_hardness: float
    sun_colour: tuple[float, float, float]
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    seed: float
    clouds: float


class _Background(NamedTuple):
    kind: Backdrop
    colour: tuple[float, float, float]
    wall_distance: float


def has_ground(place: Place) -> bool:
    """Tell whether figures in that place stand, swim or drive on something."""
    return GROUNDS[place] != (Ground.NONE,)


def draw_world(dice: Dice, staging: Staging, view: View) -> World:
    """Draw the surroundings of a figure; the sun stands on the camera's side and lights what is seen."""
    place = staging.place
    sky = _draw_sky(dice, place, view)
    ground = dice.pick(*GROUNDS[place])
    # Drawn for every kind of ground and every place, so that all of them use up the same random numbers.
    pairs = {kind: dice.pick(*options) for kind, options in GROUND_COLOURS.items()}
    first, second = pairs.get(ground, BELOW_SKY if place == "sky" else BELOW_CANOPY)
    ground_colour, ground_second_colour = dice.colour(first), dice.colour(second)
    background = _draw_background(dice, place, ground, view)
    lane = 0.0
    if place in ("road", "runway"):
        lane = dice.pick(0.0, dice.between(1.2, 2.2), dice.between(2.1, 3))
    detail = 1 / staging.size
    # Fine waves make a swimming bird small.
    small_on_water = ground == Ground.WATER and staging.size < 1
    return World(
        sun=sky.sun,
        shadow_hardness=sky.shadow_hardness,
        sun_colour=sky.sun_colour,
        zenith=sky.zenith,
        horizon=sky.horizon,
        ground=int(ground),
        ground_colour=ground_colour,
        ground_second_colour=ground_second_colour,
        backdrop=int(background.kind),
        backdrop_colour=background.colour,
        clouds=sky.clouds,
        wall_distance=background.wall_distance,
        heading=(float(view.ahead[0]), float(view.ahead[2])),
        detail=2.2 if small_on_water else detail,
        occlusion_size=0.28 / detail,
        lane=lane,
        seed=sky.seed,
    )


def _draw_sky(dice: Dice, place: Place, view: View) -> _Sky:
    azimuth = math.atan2(-view.forward[0], -view.forward[2]) + dice.sign() * dice.between(0.3, 1.4)
    height = dice.between(0.35, 1.1)
    sun = (math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height))
    hardness = dice.pick(6.0, 12.0, 20.0)
    name = "room" if place == "pet" else dice.pick("clear", "clear", "clear", "warm", "grey", "hazy")
    mood = MOODS[name]
    sun_colour = dimmed(mood.sun, dice.between(0.85, 1.15))
    zenith, horizon = dice.colour(mood.zenith, jitter=0.05), dice.colour(mood.horizon, jitter=0.05)
    seed = dice.between(0, 99)
    clear_clouds = dice.between(0, 0.6)
    clouds = clear_clouds if name == "clear" else mood.clouds
    return _Sky(sun, hardness, sun_colour, zenith, horizon, seed, clouds)


def _draw_background(dice: Dice, place: Place, ground: Ground, view: View) -> _Background:
    kinds = {at: dice.pick(*options) for at, options in BACKDROPS.items()}  # for every place, as above
    kind = kinds[place]
    colour = dice.colour(*BACKDROP_COLOURS[kind])
    indoors = place == "pet" and ground != Ground.GRASS
    if indoors or (place == "road" and dice.chance(0.25)):
        distance = float(view.target @ view.ahead) + view.extent * dice.between(0.65, 1.2)
        kind = dice.pick(Backdrop.NONE, Backdrop.NONE, Backdrop.BRICKS)
        colour = dice.colour(*WALLS, BRICK_RED if kind == Backdrop.BRICKS else WALL_BLUE)
        return _Background(kind, colour, distance)
    if place == "pet":  # in the garden
        return _Background(Backdrop.TREES, dice.colour(*HEDGE), 0.0)
    return _Background(kind, colour, 0.0)
