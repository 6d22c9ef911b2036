"""A bird: perched, on the ground, flying, swimming or wading."""

import math
from typing import NamedTuple

import numpy as np

from clay10.classes.animal import add_eyes, add_foliage, bark
from clay10.dice import Dice
from clay10.figure import Model, Options
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import WHITE, Colour, dimmed
from clay10.staging import Place, Staging

PLUMAGE = (
    ("#2f6fc0", "#e8935a"),
    ("#c22f2a", "#5a2a24"),
    ("#e8c22e", "#3a3a30"),
    ("#7a5a3c", "#e9dcc4"),
    ("#3c8a4a", "#d8d04a"),
    ("#26262a", "#4a4a55"),
    ("#f2efe8", "#b9bcc2"),
    ("#8a8f99", "#e2e4e8"),
    ("#d9772e", "#f2e2c8"),
    ("#37a0a8", "#f0d060"),
)
YELLOW_RIM = (0.8, 0.6, 0.1)


class _Body(NamedTuple):
    """The trunk's own frame and what the other parts need of it."""

    pose: str
    centre: np.ndarray
    turn: np.ndarray
    width: float  # 1 for an average bird
    coat: Material
    second: Colour  # of breast and head of some birds
    wing: Colour

    def place(self, x: float, y: float, z: float) -> np.ndarray:
        """Return the place of a point given in the trunk's frame."""
        return self.centre + self.turn @ vector(x, y, z)


def build(model: Model, dice: Dice) -> Staging:
    """Model a bird."""
    base, other = dice.pick(*PLUMAGE)
    colour, second = dice.colour(base), dice.colour(other)
    beak = dice.colour("#e89a22", "#2a2624", "#d8c03a", "#d95a2a")
    pose = dice.pick("perch", "perch", "perch", "ground", "fly", "swim", "wader")
    model.blend = 0.1
    # These tables draw for every pose, so that all poses use up the same random numbers.
    neck = {"wader": dice.between(0.45, 0.65), "swim": dice.between(0.12, 0.4)}.get(pose, 0.0)
    wader_height = dice.between(0.75, 0.95)
    height = {"perch": 0.62, "ground": 0.42, "fly": 1.2, "swim": 0.12, "wader": wader_height}[pose]
    pitch = {
        "perch": dice.between(-0.8, -0.35),
        "ground": dice.between(-0.4, -0.1),
        "fly": dice.between(-0.2, 0.1),
        "swim": dice.between(-0.1, 0.05),
        "wader": dice.between(-0.3, -0.1),
    }[pose]
    width = dice.between(0.85, 1.1)
    coat = Material(colour, second, Pattern.BELLY)
    body = _Body(pose, vector(0, height, 0), rotation(pitch), width, coat, second, dimmed(colour, 0.55))
    head, head_size = _add_trunk(model, dice, body, neck)
    if pose == "fly":
        _add_spread_wings(model, dice, body)
    else:
        _add_folded_wings(model, body)
        if pose != "swim":
            _add_legs(model, dice, body)
    turn = rotation(dice.between(-0.1, 0.15), 0 if pose == "fly" else dice.between(-0.9, 0.9))
    with model.head(head, turn, head_size, blend=0.15):
        _add_head(model, dice, body, beak)
    if pose == "perch":
        with model.scenery():
            wood = bark(dice.colour("#5b4331", "#7a5b3e", "#8a8378"), 7.0)
            left, right = dice.between(-0.1, 0.35), dice.between(0.1, 0.35)
            model.cone((-2.2, left, -0.1), (2.2, right, 0.2), 0.11, 0.08, wood, blend=0.05)
            add_foliage(model, dice, dice.count(0, 9) // 3)
    return _staging(dice, pose)


def _staging(dice: Dice, pose: str) -> Staging:
    places: dict[str, Place] = {
        "perch": dice.pick("canopy", "sky"),
        "ground": "field",
        "fly": "sky",
        "swim": "water",
        "wader": dice.pick("water", "field"),
    }
    if pose == "fly":
        azimuth = dice.between(-2.8, 2.8)
        elevation = dice.pick(-1, 1, -1) * dice.between(0.3, 0.9)
        return Staging(places[pose], azimuth, elevation, roll=dice.between(-0.4, 0.4), size=0.9)
    azimuth = dice.sign() * dice.between(0.35, 1.75)
    return Staging(places[pose], azimuth, elevation=dice.between(0, 0.3), size=0.9, portrait=0.15)


def _add_trunk(model: Model, dice: Dice, body: _Body, neck: float) -> tuple[np.ndarray, float]:
    """Add trunk, breast, neck and tail; return the head's place and radius."""
    girth = 0.25 * body.width
    model.ellipsoid(body.centre, (girth, girth, 0.42), body.coat, turn=body.turn)
    breast = body.coat._replace(colour=body.second) if dice.chance(0.5) else body.coat
    model.ellipsoid(body.place(0, -0.03, 0.16), (0.21 * body.width, 0.21 * body.width, 0.24), breast)
    head = body.place(0, 0.14, 0.36) + vector(0, 0.1 + neck, 0.16 if neck > 0 else 0.06)
    head_size = dice.between(0.15, 0.18) * (0.85 if neck > 0.3 else 1)
    middle = (body.place(0, 0.05, 0.3) + head) / 2 + vector(0, 0, 0.1 if neck else 0)
    radii = [0.12, 0.075, head_size * 0.5] if neck else [0.17, 0.14, head_size * 0.9]
    model.chain([body.place(0, 0.05, 0.24), middle, head], radii, body.coat, blend=0.06)
    tail = 0.2 if body.pose in ("swim", "wader") else dice.between(0.28, 0.55)
    model.box(
        body.place(0, 0.02, -0.42 - tail * 0.55),
        (0.1, 0.022, tail * 0.62),
        body.wing,
        turn=body.turn @ rotation(0.12),
        taper_z=-0.35 if dice.chance(0.6) else 0.1,
        blend=0.07,
        rounding=0.02,
    )
    return head, head_size


def _add_spread_wings(model: Model, dice: Dice, body: _Body) -> None:
    inner = dice.between(-0.3, 0.6)
    outer = inner - dice.between(0.1, 0.5)
    colour = body.coat.colour
    shoulder = body.place(0.12, 0.1, 0.08)
    wrist = shoulder + 0.42 * vector(math.cos(inner), math.sin(inner), 0)
    tip = wrist + dice.between(0.5, 0.75) * vector(math.cos(outer), math.sin(outer), 0)
    model.wing(shoulder, wrist, 0.2, 0.19, 0.03, colour, sweep=-0.2, mirror=True, blend=0.06)
    feather: Options = {
        "flat": (-math.sin(outer), math.cos(outer), 0),
        "squash": 0.22,
        "mirror": True,
        "blend": 0.03,
    }
    for i in range(4):  # shorter and darker towards the back
        start = wrist + vector(0, 0, 0.2 - 0.1 * i)
        end = wrist + (tip - wrist) * (1 - 0.12 * i) + vector(0, 0, 0.02 - 0.16 * i)
        model.cone(start, end, 0.1, 0.045, body.wing if i else colour, **feather)


def _add_folded_wings(model: Model, body: _Body) -> None:
    for side in (-1, 1):
        x = side * body.width
        turn = body.turn @ rotation(0.1, side * 0.08)
        model.ellipsoid(body.place(x * 0.235, 0.03, -0.06), (0.06, 0.17, 0.36), body.wing, turn=turn, blend=0.04)
        start, end = body.place(x * 0.17, 0, -0.2), body.place(side * 0.07, 0.02, -0.6)
        model.cone(start, end, 0.1, 0.02, dimmed(body.wing, 0.6), squash=0.4, blend=0.03)


def _add_legs(model: Model, dice: Dice, body: _Body) -> None:
    ground = 0.27 if body.pose == "perch" else 0.0
    colour = dice.colour("#d98a2a", "#3a3230", "#b0604a")
    for side in (-1, 1):
        step = dice.between(-0.08, 0.08)
        hip = body.place(side * 0.1, -0.18, -0.04)
        foot = vector(side * 0.1, ground + 0.02, hip[2] + 0.05 + step)
        model.chain([hip, (hip + foot) / 2 - vector(0, 0, 0.04), foot], [0.06, 0.026, 0.024], colour, blend=0.02)
        for angle in (-0.6, 0, 0.6):
            toe = foot + vector(0.12 * math.sin(angle), -0.01, 0.12 * math.cos(angle))
            model.cone(foot, toe, 0.022, 0.015, colour, blend=0.01)


def _add_head(model: Model, dice: Dice, body: _Body, beak: Colour) -> None:
    wader_length, length = dice.between(2.0, 3.2), dice.between(0.6, 1.1)
    if body.pose in ("wader", "swim"):
        length = wader_length if body.pose == "wader" else 1.0
    colour = body.coat.colour if dice.chance(0.6) else body.second
    model.ellipsoid((0, 0, 0), (0.92, 0.95, 1.05), colour)
    broad = body.pose == "swim"
    flat, squash = ((0, 1, 0), 0.5) if broad else ((1, 0, 0), 0.75)
    model.cone((0, -0.1, 0.75), (0, -0.22, 0.9 + length), 0.32, 0.05, beak, flat, squash, blend=0.05)
    rim = dice.pick(WHITE, YELLOW_RIM) if sum(colour) < 0.5 else None
    add_eyes(model, 0.68, 0.22, 0.52, 0.25, rim=rim)
    if dice.chance(0.25):
        model.cone((0, 0.6, 0), (0, 1.5, -0.8), 0.35, 0.05, body.coat.colour, squash=0.4)  # crest
