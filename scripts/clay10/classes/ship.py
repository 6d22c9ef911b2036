"""A ship: freighter, cruise liner, sailing ship, tug or frigate."""

import math
from typing import NamedTuple

import numpy as np

from clay10.dice import Dice
from clay10.figure import Model
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import GLASS, PAINTS, RUBBER, WHITE, Colour, dimmed
from clay10.staging import Staging


class _Kind(NamedTuple):
    """Half length, half width, half height of a hull, how its ends rise, where its bow begins."""

    length: float
    width: float
    height: float
    sheer: float = 0.08
    bow: float = 0.25


KINDS = {
    "cargo": _Kind(1.35, 0.3, 0.19),
    "cruise": _Kind(1.35, 0.28, 0.2),
    "sail": _Kind(0.95, 0.24, 0.16, sheer=0.1),
    "tug": _Kind(0.8, 0.3, 0.22, sheer=0.12),
    "navy": _Kind(1.4, 0.21, 0.15, bow=-0.1),
}
HULLS = ("#1f2f4f", "#8f2a22", "#1c1d20", "#2f6f8a", "#2f6a45", "#c9552a", "#f0eee8", "#6b3f22")
BOXES = ("#c0392b", "#2c6fae", "#e0a12a", "#3f8f5a", "#e8e8e4", "#d9661f", "#6a4a8a", "#8a8f96")
WOOD = (0.25, 0.14, 0.07)
BRIDGE_GLASS = Material(GLASS, gloss=0.8)
STACKS = 7  # of containers along the deck


class _Ship(NamedTuple):
    """Half length and half width, the deck's height, and colours: hull, white, one for funnels."""

    length: float
    width: float
    deck: float
    colour: Colour
    white: Colour
    accent: Colour


def build(model: Model, dice: Dice) -> Staging:
    """Model a ship."""
    kind = dice.pick("cargo", "cargo", "cruise", "sail", "tug", "navy")
    model.blend = 0
    white = dice.colour("#f2f2ee", "#e8e6dd")
    # Drawn for every kind, so that all kinds use up the same random numbers.
    grey = dice.colour("#7c8890", "#8b959c")
    colour = {"cruise": white, "navy": grey}.get(kind) or dice.colour(*HULLS)
    shape = KINDS[kind]
    length = shape.length * dice.between(0.9, 1.1)
    accent = dice.colour("#8a2a22", "#b03a2a", "#20242c", "#2a5a3a")
    deck = shape.height * 1.62
    ship = _Ship(length, shape.width, deck, colour, white, accent)
    _add_hull(model, dice, kind, ship)
    SUPERSTRUCTURES[kind](model, dice, ship)
    azimuth = dice.sign() * dice.between(0.3, 1.9)
    return Staging("water", azimuth, elevation=dice.between(0.03, 0.35))


def _add_hull(model: Model, dice: Dice, kind: str, ship: _Ship) -> None:
    _, width, height, sheer, bow = KINDS[kind]
    y = height * 0.62
    paint = Material(ship.colour, ship.accent, Pattern.WATERLINE, -0.25, gloss=0.35)
    model.hull((0, y, 0), (width, height, ship.length), paint, bow, sheer, rounding=0.02)
    steel: Colour = (0.22, 0.12, 0.09) if dice.chance(0.5) else (0.25, 0.27, 0.28)
    planks = (0.4, 0.22, 0.1) if kind == "sail" else steel
    size = (width * 0.93, height * 0.95, ship.length * 0.96)
    model.hull((0, y + 0.012 + height * 0.1, 0), size, planks, bow, 0.06, rounding=0.03)


def _add_cargo(model: Model, dice: Dice, ship: _Ship) -> None:
    length, width, deck, _, white, accent = ship
    colours = [dice.colour(*BOXES) for _ in range(6)]
    for i in range(STACKS):
        for column in (-1, 0, 1):
            for level in range(dice.count(0, 4) if i else 1):
                place = (
                    column * width * 0.56,
                    deck + 0.09 + 0.125 * level,
                    -length * 0.5 + i * length * 1.25 / STACKS,
                )
                model.box(place, (width * 0.27, 0.06, length * 0.082), dice.pick(*colours), rounding=0.008)
    z = -length * 0.78
    house = Material(white, (0.03, 0.04, 0.06), Pattern.WINDOW_GRID, 60.0)
    model.box((0, deck + 0.3, z), (width * 0.85, 0.3, 0.13), house, rounding=0.02)
    model.box((0, deck + 0.58, z + 0.02), (width, 0.06, 0.14), white)
    model.box((0, deck + 0.6, z + 0.13), (width * 0.9, 0.03, 0.04), BRIDGE_GLASS)
    model.cylinder((0, deck + 0.5, z - 0.2), (0, deck + 0.75, z - 0.2), 0.08, accent)
    model.cone((0, deck, length * 0.72), (0, deck + 0.4, length * 0.72), 0.02, 0.015, white)


def _add_cruise(model: Model, dice: Dice, ship: _Ship) -> None:
    length, width, deck, _, white, _ = ship
    decks = dice.pick(3, 4)
    cabins = Material(white, (0.04, 0.07, 0.11), Pattern.WINDOW_GRID, 45.0, gloss=0.2)
    for i in range(decks):
        half = (width * (0.9 - 0.05 * i), 0.068, length * (0.74 - 0.09 * i))
        model.box((0, deck + 0.09 + 0.13 * i, -0.05 - 0.05 * i), half, cabins, rounding=0.03)
    funnel = dice.colour("#1e4fa8", "#c62828", "#e0a12a", "#20242c")
    top = deck + 0.13 * decks
    for z in dice.pick((-0.35,), (-0.5, 0.05), (-0.6, -0.1, 0.4)):
        model.cone((0, top, z), (0, top + 0.3, z - 0.08), 0.11, 0.085, funnel)
    model.cone((0, top, length * 0.35), (0, top + 0.3, length * 0.33), 0.018, 0.01, white)
    for z in np.linspace(-0.7, 0.5, 5):  # lifeboats
        boat = (width * 0.93, deck + 0.16, z)
        model.ellipsoid(boat, (0.04, 0.045, 0.09), (0.85, 0.35, 0.05), mirror=True)


def _add_sails(model: Model, dice: Dice, ship: _Ship) -> None:
    masts = dice.pick(1, 1, 2, 3)
    brace = dice.sign() * dice.between(0.5, 0.9)
    cloth = dice.colour("#f5f1e6", "#f3ead2", "#f5f1e6", "#c8402c", "#3f6fae")
    if masts == 1:
        _add_yacht_rig(model, dice, ship.deck, cloth)
    else:
        _add_square_rig(model, ship, masts, brace, cloth)


def _add_yacht_rig(model: Model, dice: Dice, deck: float, cloth: Colour) -> None:
    """Add one mast with boom, mainsail and jib."""
    height = dice.between(1.5, 1.9)
    model.cone((0, deck, 0.08), (0, deck + height, 0.05), 0.025, 0.015, WOOD)
    model.cone((0, deck + 0.15, 0.08), (0, deck + 0.13, -0.75), 0.02, 0.02, WOOD)
    belly = dice.between(-0.3, 0.3)
    stripe = dice.colour(*PAINTS) if dice.chance(0.4) else dimmed(cloth, 0.85)
    jib = WHITE
    for colour, foot, half, end in ((cloth, 0.4, height * 0.46, -1), (jib, 0.33, height * 0.38, 1)):
        lean = math.atan2(foot, 2 * half)  # puts the leading edge upright
        yaw = -end * belly
        place = (end * -yaw * 0.3, deck + 0.2 + half, 0.05 + end * (foot * 0.5 + 0.04))
        sail = Material(colour, stripe, Pattern.STRIPE, -0.5)
        turn = rotation(-end * lean, yaw * 0.6)
        model.box(place, (0.018, half, foot * 0.5), sail, turn=turn, rounding=0.01, taper_y=0.97)


def _add_square_rig(model: Model, ship: _Ship, masts: int, brace: float, cloth: Colour) -> None:
    """Add masts with three yards and sails each, turned by `brace`, a bowsprit and a stern cabin."""
    length, width, deck = ship.length, ship.width, ship.deck
    for mast in range(masts):
        z = (mast - (masts - 1) / 2) * 0.62 + 0.02
        height = 1.45 if mast == masts // 2 else 1.25
        model.cone((0, deck, z), (0, deck + height, z), 0.03, 0.015, WOOD)
        for i in range(3):
            half = 0.42 - 0.08 * i
            y = deck + 0.28 + i * height * 0.3
            yard = vector(half * math.cos(brace), 0, -half * math.sin(brace))
            middle = vector(0, y + 0.17, z + 0.02)
            model.cone(middle - yard, middle + yard, 0.018, 0.018, WOOD)
            sail = (half * 1.05, height * 0.14, 0.035)
            place = (0.05 * brace, y, z + 0.05)
            model.box(place, sail, cloth, turn=rotation(-0.12, brace), taper_y=0.14, rounding=0.03)
    model.cone((0, deck + 0.08, length * 0.85), (0, deck + 0.3, length * 1.3), 0.025, 0.012, WOOD)
    model.box((0, deck + 0.12, -length * 0.75), (width * 0.6, 0.12, 0.16), WOOD)


def _add_tug(model: Model, dice: Dice, ship: _Ship) -> None:
    _, width, deck, colour, white, accent = ship
    model.box((0, deck + 0.17, 0.05), (width * 0.62, 0.18, 0.26), white, rounding=0.03)
    model.box((0, deck + 0.42, 0.1), (width * 0.5, 0.12, 0.17), white, rounding=0.03)
    model.box((0, deck + 0.45, 0.12), (width * 0.52, 0.055, 0.175), BRIDGE_GLASS)
    model.box((0, deck + 0.56, 0.1), (width * 0.56, 0.025, 0.2), colour)
    model.cylinder((0, deck + 0.2, -0.28), (0, deck + 0.6, -0.3), 0.085, accent)
    model.cylinder((0, deck + 0.5, -0.295), (0, deck + 0.56, -0.298), 0.09, WHITE)
    model.cone((0, deck + 0.5, 0.02), (0, deck + 1.0, 0), 0.02, 0.012, (0.2, 0.2, 0.2))
    for z in (-0.45, -0.15, 0.15):  # fenders
        model.ellipsoid((width * 0.95, deck - 0.1, z), (0.05, 0.08, 0.08), RUBBER, mirror=True)
    if dice.chance(0.5):
        model.cone((0, deck + 0.1, -0.55), (0, deck + 0.75, -0.75), 0.02, 0.02, (0.6, 0.5, 0.1))


def _add_navy(model: Model, dice: Dice, ship: _Ship) -> None:
    width, deck, colour = ship.width, ship.deck, ship.colour
    windows = Material(colour, dimmed(colour, 0.35), Pattern.WINDOW_GRID, 50.0)
    model.box((0, deck + 0.13, 0), (width * 0.75, 0.14, 0.6), windows, taper_y=0.1)
    model.box((0, deck + 0.36, 0.22), (width * 0.6, 0.12, 0.22), colour, taper_y=0.15)
    model.box((0, deck + 0.4, 0.3), (width * 0.55, 0.04, 0.18), GLASS)
    model.cone((0, deck + 0.4, 0.05), (0, deck + 1.0, 0.02), 0.05, 0.015, colour)
    model.cone((-0.16, deck + 0.75, 0.03), (0.16, deck + 0.75, 0.03), 0.02, 0.02, colour)
    model.box((0, deck + 0.33, -0.35), (width * 0.4, 0.14, 0.16), colour, taper_y=0.2)
    model.ellipsoid((0, deck + 0.9, 0.03), (0.07, 0.05, 0.07), colour)
    for z, muzzle in ((0.95, 1.35), (-0.95, -1.35)):  # gun turrets
        model.box((0, deck + 0.09, z), (0.1, 0.07, 0.13), colour, rounding=0.03)
        model.cone((0, deck + 0.11, z), (0, deck + 0.16, muzzle), 0.025, 0.02, colour)


SUPERSTRUCTURES = {
    "cargo": _add_cargo,
    "cruise": _add_cruise,
    "sail": _add_sails,
    "tug": _add_tug,
    "navy": _add_navy,
}
