"""An airplane: airliner, propeller plane or fighter, in flight or on the ground."""

import math
from typing import NamedTuple

from clay10.dice import Dice
from clay10.figure import Model
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import GLASS, RUBBER, WHITE, Colour, dimmed
from clay10.staging import Staging

COLOURS = {
    "jet": ("#f2f3f5", "#e4e8ec", "#f5f5f0", "#c9d2da"),
    "prop": ("#f0c22e", "#c62828", "#f0f0ee", "#2f63b8", "#4a8a58"),
    "fighter": ("#7d8790", "#8f969a", "#5c6a58", "#6a7680"),
}
TRIMS = ("#1e4fa8", "#c62828", "#e07a1f", "#1f8a5a", "#20304f", "#8a2f8a")
METAL = (0.4, 0.4, 0.4)
NACELLE = (0.6, 0.62, 0.65)
CABIN_WINDOW = (0.03, 0.04, 0.06)
WINDOW = Material(GLASS, gloss=1.0)
UPRIGHT = (-1, 0, 0)  # the flat side of a fin

Y = 0.42  # height of the fuselage's axis


class _Plane(NamedTuple):
    """Half length and radius of the fuselage, its colour and the trim's."""

    length: float
    radius: float
    colour: Colour
    trim: Colour

    @property
    def skin(self) -> Material:
        """The shining paint of the fuselage."""
        return Material(self.colour, gloss=0.6)


def _plate(colour: Colour) -> Material:
    """Return the satin paint of wings and fins."""
    return Material(colour, gloss=0.4)


def build(model: Model, dice: Dice) -> Staging:
    """Model an airplane."""
    kind = dice.pick("jet", "jet", "jet", "prop", "fighter")
    model.blend = 0.05
    colour, trim = dice.colour(*COLOURS[kind]), dice.colour(*TRIMS)
    length = dice.between(1.25, 1.6) if kind == "jet" else 1.0
    plane = _Plane(length, dice.between(0.135, 0.165), colour, trim)
    add_parts = {"jet": _add_jet, "prop": _add_prop, "fighter": _add_fighter}[kind]
    add_parts(model, dice, plane)
    if dice.chance(0.68):
        azimuth = dice.between(-2.6, 2.6)
        elevation = dice.pick(-1, 1, -1) * dice.between(0.2, 0.8)
        return Staging("sky", azimuth, elevation, roll=dice.between(-0.45, 0.45))
    if kind != "prop":  # which has its gear out always
        _add_landing_gear(model, length)
    azimuth = dice.sign() * dice.between(0.25, 1.6)
    return Staging("runway", azimuth, elevation=dice.between(0.04, 0.4))


def _add_landing_gear(model: Model, length: float) -> None:
    model.cone((0.2, Y - 0.05, -0.2), (0.2, 0.1, -0.2), 0.03, 0.03, METAL, mirror=True, blend=0)
    model.cylinder((0.16, 0.1, -0.2), (0.27, 0.1, -0.2), 0.1, RUBBER, mirror=True, blend=0, rounding=0.03)
    nose = length * 0.62
    model.cone((0, Y - 0.05, nose), (0, 0.09, nose), 0.025, 0.025, METAL, blend=0)
    model.cylinder((-0.05, 0.08, nose), (0.05, 0.08, nose), 0.08, RUBBER, blend=0, rounding=0.03)


def _add_jet(model: Model, dice: Dice, plane: _Plane) -> None:
    length, radius, colour, trim = plane
    windows = Material(colour, CABIN_WINDOW, Pattern.CABIN_WINDOWS, 55.0, gloss=0.6)
    model.cone((0, Y, -length * 0.45), (0, Y, length * 0.8), radius, radius, windows)
    nose = (radius, radius * 0.97, radius * 2.0)
    model.ellipsoid((0, Y - 0.01, length * 0.82), nose, plane.skin)
    tail = (0, Y + radius * 0.55, -length * 0.98)
    model.cone((0, Y, -length * 0.4), tail, radius, 0.035, plane.skin)
    cockpit = (0, Y + radius * 0.35, length * 0.82 + radius * 1.35)
    size = (radius * 0.5, radius * 0.16, radius * 0.3)
    model.box(cockpit, size, WINDOW, turn=rotation(0.5), blend=0)
    if dice.chance(0.6):
        belly = Material(trim, gloss=0.5)
        start, end = (0, Y - radius * 0.25, -length * 0.4), (0, Y - radius * 0.25, length * 0.82)
        model.cone(start, end, radius * 0.85, radius * 0.85, belly, blend=0)
    _add_jet_wings(model, dice, plane)


def _add_jet_wings(model: Model, dice: Dice, plane: _Plane) -> None:
    """Add wings with winglets, tail planes, fin and engines."""
    length, radius, colour, trim = plane
    sweep = dice.between(0.35, 0.55) * 1.15
    span = dice.between(1.1, 1.35)
    wing_y = Y - radius * 0.55
    metal = _plate(dimmed(colour, 0.88))
    root, tip = (radius * 0.2, wing_y, 0.2), (span, wing_y + 0.13, 0.2)
    model.wing(root, tip, 0.34, 0.1, 0.03, metal, sweep=sweep, mirror=True)
    back = 0.2 - sweep * span
    root, tip = (span, wing_y + 0.12, back), (span + 0.06, wing_y + 0.3, back)
    model.wing(root, tip, 0.09, 0.05, 0.018, _plate(trim), up=UPRIGHT, sweep=0.5, mirror=True, blend=0)
    z = -length * 0.82
    root, tip = (0, Y + radius * 0.4, z), (0.5, Y + radius * 0.7, z)
    model.wing(root, tip, 0.17, 0.08, 0.022, metal, sweep=0.45, mirror=True)
    z = -length * 0.74
    root, tip = (0, Y + radius * 0.3, z), (0, Y + 0.56, z)
    model.wing(root, tip, 0.24, 0.12, 0.025, _plate(trim), up=UPRIGHT, sweep=0.55)
    for i in range(dice.pick(1, 1, 2)):
        x = 0.42 + 0.36 * i
        _add_engine(model, dice, plane, x, wing_y, 0.45 - sweep * x)


def _add_engine(model: Model, dice: Dice, plane: _Plane, x: float, wing_y: float, z: float) -> None:
    """Add a pair of engines under the wings."""
    y = wing_y - 0.1
    nacelle = Material(plane.trim if dice.chance(0.5) else NACELLE, gloss=0.7)
    model.cone((x, y, z - 0.18), (x, y, z + 0.1), 0.075, 0.095, nacelle, mirror=True, blend=0)
    model.cylinder((x, y, z + 0.17), (x, y, z + 0.2), 0.078, (0.02, 0.02, 0.02), mirror=True, blend=0)
    top, bottom = (x, wing_y + 0.05, z - 0.15), (x, wing_y - 0.05, z - 0.05)
    model.cone(bottom, top, 0.03, 0.03, plane.colour, mirror=True)


def _add_prop(model: Model, dice: Dice, plane: _Plane) -> None:
    colour, trim, skin = plane.colour, plane.trim, plane.skin
    striped = Material(colour, trim, Pattern.STRIPE, 0.0, gloss=0.6)
    front, end = (0, Y, 0.55), (0, Y + 0.04, -0.95)
    model.cone(front, end, 0.19, 0.12, striped, marked=False)
    model.mark(front, 0.171)
    model.mark(end, 0.045)  # the frame takes the tail for thinner than it is
    model.cone((0, Y - 0.02, 0.5), (0, Y - 0.02, 0.8), 0.19, 0.15, skin)
    model.box((0, Y + 0.2, 0.22), (0.13, 0.11, 0.28), WINDOW, taper_y=0.3, rounding=0.05, blend=0)
    high = dice.chance(0.55)
    wing_y = Y + (0.32 if high else -0.1)
    wing = Material(trim if dice.chance(0.4) else colour, gloss=0.6)
    model.box((0, wing_y, 0.25), (1.3, 0.035, 0.24), wing, rounding=0.03, blend=0.02)
    if high:
        model.cone((0.15, Y - 0.1, 0.25), (0.75, wing_y, 0.25), 0.02, 0.02, colour, mirror=True, blend=0)
    if dice.chance(0.3):  # a biplane
        model.box((0, Y - 0.15 if high else Y + 0.45, 0.28), (1.2, 0.03, 0.22), colour, blend=0.02)
        model.cone((0.8, Y - 0.15, 0.28), (0.8, Y + 0.45, 0.28), 0.02, 0.02, WHITE, mirror=True, blend=0)
        model.cone((0.2, Y, 0.28), (0.2, Y + 0.45, 0.28), 0.02, 0.02, WHITE, mirror=True, blend=0)
    root, tip = (0, Y + 0.06, -0.86), (0.44, Y + 0.06, -0.86)
    model.wing(root, tip, 0.16, 0.1, 0.022, _plate(colour), sweep=0.15, mirror=True)
    root, tip = (0, Y + 0.06, -0.8), (0, Y + 0.42, -0.8)
    model.wing(root, tip, 0.2, 0.1, 0.022, _plate(trim), up=UPRIGHT, sweep=0.4)
    _add_propeller(model, dice, trim)
    model.cone((0.12, Y - 0.1, 0.4), (0.3, 0.12, 0.45), 0.025, 0.025, colour, mirror=True, blend=0)
    model.cylinder((0.28, 0.11, 0.45), (0.36, 0.11, 0.45), 0.11, RUBBER, mirror=True, blend=0, rounding=0.03)


def _add_propeller(model: Model, dice: Dice, spinner: Colour) -> None:
    y = Y - 0.02
    model.cone((0, y, 0.9), (0, y, 1.02), 0.07, 0.02, spinner, blend=0)
    angle = dice.between(0, 3)
    blade = 0.42 * vector(math.cos(angle), math.sin(angle), 0)
    hub = vector(0, y, 0.96)
    dark = (0.05, 0.04, 0.04)
    model.cone(hub - blade, hub + blade, 0.045, 0.045, dark, flat=(0, 0, 1), squash=0.35, blend=0)


def _add_fighter(model: Model, dice: Dice, plane: _Plane) -> None:
    colour, skin = plane.colour, plane.skin
    model.cone((0, Y, -0.9), (0, Y, 0.55), 0.15, 0.14, skin)
    model.cone((0, Y, 0.5), (0, Y - 0.03, 1.35), 0.14, 0.015, skin)
    canopy = Material((0.12, 0.09, 0.03), gloss=1.0)
    model.ellipsoid((0, Y + 0.12, 0.55), (0.085, 0.1, 0.3), canopy, blend=0)
    model.box((0.17, Y - 0.03, -0.05), (0.07, 0.09, 0.5), colour, mirror=True, rounding=0.04)  # intake
    metal = _plate(dimmed(colour, 0.85))
    span = dice.between(0.6, 0.85)
    root, tip = (0.08, Y - 0.02, -0.2), (0.1 + span, Y - 0.03, -0.2)
    model.wing(root, tip, 0.52, 0.1, 0.022, metal, sweep=dice.between(0.45, 0.75), mirror=True)
    model.wing((0.08, Y, -0.85), (0.5, Y, -0.85), 0.2, 0.08, 0.018, metal, sweep=0.5, mirror=True)
    root, tip = (0.13, Y + 0.05, -0.72), (0.22, Y + 0.5, -0.72)
    twin_fins = dice.pick(False, True)
    model.wing(root, tip, 0.24, 0.09, 0.018, _plate(colour), up=UPRIGHT, sweep=0.5, mirror=twin_fins)
    model.cylinder((0.08, Y, -1.12), (0.08, Y, -0.9), 0.085, (0.05, 0.05, 0.05), mirror=True, blend=0)
    for x in (0.45, 0.65):
        model.cone((x, Y - 0.1, -0.5), (x, Y - 0.1, -0.05), 0.035, 0.02, WHITE, mirror=True, blend=0)
