"""A car: sedan, hatchback, SUV, sports car, classic or van."""

import math
from typing import NamedTuple

from clay10.classes.vehicle import add_wheels
from clay10.dice import Dice
from clay10.figure import Model
from clay10.material import Material
from clay10.palette import GLASS, PAINTS, Colour
from clay10.staging import Staging

BUMPER = (0.05, 0.05, 0.055)
CHROME = (0.5, 0.5, 0.52)
GRILLE = (0.03, 0.03, 0.035)
HEADLIGHT = (0.95, 0.93, 0.8)
NUMBER_PLATE = (0.8, 0.8, 0.75)
SEAM = (0.02, 0.02, 0.02)
TAIL_LIGHT = (0.6, 0.02, 0.02)
TAXI_SIGN = (0.9, 0.75, 0.1)


class _Cabin(NamedTuple):
    """The glass house: half length and place along the body as shares of its half length; half height."""

    length: float
    place: float
    height: float
    taper: float


CABINS = {
    "sedan": _Cabin(0.56, -0.12, 0.2, 0.26),
    "hatch": _Cabin(0.6, -0.22, 0.22, 0.2),
    "suv": _Cabin(0.72, -0.22, 0.24, 0.12),
    "sport": _Cabin(0.45, -0.15, 0.155, 0.34),
    "classic": _Cabin(0.5, -0.12, 0.23, 0.25),
    "van": _Cabin(0.86, -0.1, 0.34, 0.08),
}


class _Body(NamedTuple):
    """Half sizes of the lower body, the height of its middle, and its paint."""

    kind: str
    length: float
    width: float
    height: float
    y: float
    paint: Material


def build(model: Model, dice: Dice) -> Staging:
    """Model a car."""
    kind = dice.pick("sedan", "hatch", "suv", "sport", "classic", "sedan", "hatch", "suv", "van")
    paint = Material(dice.colour(*PAINTS), gloss=0.9)
    model.blend = 0
    # Sedan, hatchback and plain height are drawn for every kind, so that all use up the same random numbers.
    sedan_length, hatch_length = dice.between(1.05, 1.2), dice.between(0.85, 0.95)
    lengths = {"sedan": sedan_length, "hatch": hatch_length, "suv": 1.05, "sport": 1.08}
    width = dice.between(0.43, 0.48)
    wheel_radius = {"suv": 0.205, "sport": 0.18}.get(kind, 0.175)
    plain_height = dice.between(0.155, 0.18)
    height = {"suv": 0.21, "sport": 0.13, "van": 0.2, "classic": 0.17}.get(kind, plain_height)
    body = _Body(kind, lengths.get(kind, 1.1), width, height, wheel_radius * 0.75 + height, paint)
    _add_shell(model, body)
    _add_wheels(model, dice, body, wheel_radius)
    _add_fittings(model, dice, body)
    if kind == "sport" and dice.chance(0.6):
        _add_spoiler(model, body)
    cabin = CABINS[kind]
    if dice.chance(0.12):
        top = body.y + height + cabin.height * 2
        model.box((0, top, cabin.place * body.length), (0.16, 0.05, 0.07), TAXI_SIGN, rounding=0.03)
    azimuth = dice.pick(0, math.pi) + dice.sign() * dice.between(0.3, 1.35)
    return Staging("road", azimuth, elevation=dice.between(0.06, 0.5))


def _add_shell(model: Model, body: _Body) -> None:
    """Add lower body, bonnet, cabin, roof and the pillars between the windows."""
    kind, length, width, height, y, paint = body
    rounding = 0.09 if kind == "suv" else 0.12
    model.box((0, y, 0), (width, height, length), paint, rounding=rounding, blend=0.06)
    bonnet = (width * 0.96, height * 0.95, length * 0.62)
    model.box((0, y + height * 0.15, length * 0.35), bonnet, paint, rounding=0.12, blend=0.06)
    cabin = CABINS[kind]
    half, taper = cabin.length * length, cabin.taper
    middle = y + height + cabin.height * 0.8
    z = cabin.place * length
    glass = Material(GLASS, gloss=1.0)
    model.box((0, middle, z), (width * 0.88, cabin.height, half), glass, taper_y=taper, rounding=0.05)
    roof = (width * 0.9 * (1 - taper), cabin.height * 0.17, half * (1 - taper * 0.93))
    model.box((0, middle + cabin.height * 0.93, z), roof, paint, rounding=0.05, blend=0.01)
    # The cabin box leans in by its taper; so do the pillars at its sides.
    for place in (-0.95, 0.9) if kind == "sport" else (-0.98, 0.08, 0.9):
        foot = (width * 0.9 * (1 + taper * 0.9), middle - cabin.height, z + place * half * (1 + taper * 0.9))
        top = (width * 0.89 * (1 - taper), middle + cabin.height * 0.9, z + place * half * (1 - taper))
        model.cone(foot, top, 0.035, 0.03, paint, mirror=True, blend=0.01)


def _add_wheels(model: Model, dice: Dice, body: _Body, radius: float) -> None:
    axles = (-body.length * 0.62, body.length * 0.62)
    for z in axles:
        inner, outer = (body.width * 0.55, radius, z), (body.width * 1.3, radius, z)
        model.cylinder(inner, outer, radius * 1.2, body.paint.colour, hollow=True, mirror=True)
    for z in axles:
        rim: Colour = dice.pick((0.3, 0.3, 0.32), (0.05, 0.05, 0.06), (0.4, 0.4, 0.42))
        add_wheels(model, body.width * 0.84, z, radius, 0.075, rim)


def _add_fittings(model: Model, dice: Dice, body: _Body) -> None:
    """Add lights, grille, bumpers, number plate, mirrors and the seam of the doors."""
    kind, length, width, height, y, paint = body
    lamp = (0.1, 0.1 if kind == "classic" else 0.065, 0.06)
    lamp_place = (width * 0.72, y + height * 0.3, length * 0.965)
    model.ellipsoid(lamp_place, lamp, Material(HEADLIGHT, gloss=0.9), mirror=True)
    tail_light = Material(TAIL_LIGHT, gloss=0.9)
    tail_place = (width * 0.76, y + height * 0.25, -length * 0.985)
    model.box(tail_place, (0.1, 0.055, 0.03), tail_light, mirror=True, rounding=0.02)
    grille = Material(GRILLE, gloss=0.4)
    model.box((0, y - height * 0.05, length * 0.985), (width * 0.42, 0.06, 0.03), grille, rounding=0.02)
    bumper = (width * 0.85, 0.05, 0.05)
    low = y - height * 0.65
    front = Material(BUMPER if dice.chance(0.5) else CHROME, gloss=0.5)
    model.box((0, low, length * 0.99), bumper, front, rounding=0.04)
    model.box((0, low, -length * 0.99), bumper, BUMPER, rounding=0.04)
    plate = (0, y - height * 0.1, -length)
    model.box(plate, (0.15, 0.045, 0.02), NUMBER_PLATE, rounding=0.01)
    cabin = CABINS[kind]
    mirror = (width * 1.08, y + height + 0.05, length * (cabin.place + cabin.length * 0.72))
    model.ellipsoid(mirror, (0.06, 0.04, 0.035), paint._replace(gloss=0.8), mirror=True)
    seam = (width * 1.004, 0.008, length * 0.5)
    model.box((0, y + height * 0.1, 0), seam, SEAM, rounding=0.004)


def _add_spoiler(model: Model, body: _Body) -> None:
    paint = body.paint._replace(gloss=0.8)
    deck = body.y + body.height
    blade = (body.width * 0.9, 0.02, 0.08)
    model.box((0, deck + 0.14, -body.length * 0.9), blade, paint, rounding=0.015)
    x = body.width * 0.6
    foot, top = (x, deck - 0.05, -body.length * 0.88), (x, deck + 0.14, -body.length * 0.9)
    model.cone(foot, top, 0.025, 0.025, body.paint.colour, mirror=True)
