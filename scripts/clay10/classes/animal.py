"""What several animals share: the four-legged trunk, eyes, the turn of the head, branches to sit on."""

import math
from typing import Literal, NamedTuple

import numpy as np

from clay10.dice import Dice
from clay10.figure import Model
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import DARK, Colour, dimmed

Pose = Literal["sit", "stand", "lie"]


def head_yaw(dice: Dice, azimuth: float) -> float:
    """Return a yaw that turns the head about half way to a camera at that azimuth; radians."""
    return float(np.clip(0.55 * azimuth + dice.between(-0.4, 0.4), -0.9, 0.9))


def add_eyes(
    model: Model,
    x: float,
    y: float,
    z: float,
    radius: float,
    iris: Colour | None = None,
    rim: Colour | None = None,
) -> None:
    """Add a pair of shining eyes at (+-x, y, z): dark balls, or slit pupils in an iris."""
    if rim:
        model.ellipsoid((x * 0.9, y, z * 0.9), radius * 1.15, rim, mirror=True, blend=0)
    if not iris:
        model.ellipsoid((x, y, z), radius, Material(DARK, gloss=0.9), mirror=True, blend=0)
        return
    ball = (radius, radius, radius * 0.7)
    model.ellipsoid((x, y, z), ball, Material(iris, gloss=0.6), mirror=True, blend=0)
    slit = (radius * 0.45, radius * 0.8, radius * 0.45)
    model.ellipsoid((x, y, z + radius * 0.42), slit, Material(DARK, gloss=0.8), mirror=True, blend=0)


class Quadruped(NamedTuple):
    """Measures of a four-legged body, in units: `length` and `girth` are half sizes of the trunk.

    `hock` is how far the heel stands out backwards, as a share of `height`; `belly` and `rump` compare belly
    and hind quarters with the chest.
    """

    pose: Pose
    length: float
    height: float  # of the legs
    girth: float
    leg_radius: float
    coat: Material
    foot: Material
    hock: float
    belly: float = 1.0
    rump: float = 0.92


def add_trunk(model: Model, dice: Dice, body: Quadruped) -> tuple[np.ndarray, np.ndarray]:
    """Add body and legs; return hip and chest, each (3,). The body's seams become the model's default."""
    length, height, girth = body.length, body.height, body.girth
    model.blend = 0.5 * girth
    if body.pose == "sit":
        hip, chest = vector(0, girth * 0.9, -length * 0.5), vector(0, height + girth * 0.3, length * 0.35)
    elif body.pose == "lie":
        hip, chest = vector(0, girth * 0.85, -length * 0.8), vector(0, girth, length * 0.8)
    else:
        hip = vector(0, height + girth * 0.75, -length * 0.8)
        chest = vector(0, height + girth * 0.8, length * 0.8)
    model.cone(hip, chest, girth * body.rump, girth, body.coat)
    if body.pose == "stand":
        belly = (girth * 0.95, girth * body.belly, length * 0.9)
        model.ellipsoid((0, height + girth * 0.7, length * 0.1), belly, body.coat)
    # A pale belly or a spotted back ends at the legs.
    if body.coat.pattern in (Pattern.BELLY, Pattern.SPOTS):
        fur = body.coat._replace(pattern=Pattern.PLAIN)
    else:
        fur = body.coat
    for side in (-1, 1):
        if body.pose == "lie":
            _add_lying_legs(model, body, fur, side)
        else:
            _add_front_leg(model, dice, body, fur, chest, side)
            _add_hind_leg(model, dice, body, fur, hip, side)
    return hip, chest


def _add_lying_legs(model: Model, body: Quadruped, fur: Material, side: int) -> None:
    length, girth, radius = body.length, body.girth, body.leg_radius
    x = side * girth * 0.58
    elbow = (x * 1.3, radius * 1.1, length * 0.75)
    front = [(x, girth * 0.7, length * 0.75), elbow, (x * 1.1, radius, length * 1.45)]
    model.chain(front, [girth * 0.45, radius * 1.2, radius], fur)
    paw = (radius * 1.1, radius * 0.9, radius * 1.5)
    model.ellipsoid((x * 1.05, radius, length * 1.5), paw, body.foot)
    thigh = (girth * 0.45, girth * 0.7, girth * 0.85)
    model.ellipsoid((x * 1.4, girth * 0.6, -length * 0.65), thigh, fur)
    model.ellipsoid((x * 1.7, radius, -length * 0.1), (radius, radius * 0.9, radius * 2), body.foot)


def _swing(dice: Dice, body: Quadruped, stride: float) -> float:
    """Return how far a foot is ahead of its hip: a step when standing, little otherwise."""
    reach = stride if body.pose == "stand" else 0.08
    return dice.between(-reach, reach) * body.height


def _add_foot(model: Model, body: Quadruped, x: float, z: float) -> None:
    radius = body.leg_radius
    size = (radius * 1.05, radius * 0.8, radius * 1.5)
    model.ellipsoid((x, radius * 0.7, z + radius * 0.5), size, body.foot, blend=radius)


def _add_front_leg(model: Model, dice: Dice, body: Quadruped, fur: Material, chest: np.ndarray, side: int) -> None:
    girth, radius = body.girth, body.leg_radius
    x = side * girth * 0.58
    swing = _swing(dice, body, 0.35)
    shoulder = (x, chest[1] - girth * 0.3, chest[2] + girth * 0.05)
    knee = (x, body.height * 0.5, shoulder[2] + max(swing, 0) * 0.6)
    foot = (x, radius * 0.8, shoulder[2] + swing * (1 if body.pose == "stand" else 0.3))
    model.chain([shoulder, knee, foot], [girth * 0.48, radius * 1.15, radius * 0.85], fur)
    _add_foot(model, body, x, foot[2])


def _add_hind_leg(model: Model, dice: Dice, body: Quadruped, fur: Material, hip: np.ndarray, side: int) -> None:
    length, height, girth, radius = body.length, body.height, body.girth, body.leg_radius
    x = side * girth * 0.58
    if body.pose == "sit":
        thigh = (girth * 0.5, girth * 0.75, girth * 0.85)
        model.ellipsoid((x * 1.35, girth * 0.75, -length * 0.35), thigh, fur, turn=rotation(-0.4))
        paw = (radius * 1.1, radius * 0.9, radius * 2.4)
        model.ellipsoid((x * 1.5, radius * 0.8, length * 0.12), paw, body.foot)
        return
    swing = _swing(dice, body, 0.3)
    z = hip[2] - girth * 0.1
    heel = body.hock * height
    points = [
        (x, hip[1] - girth * 0.2, z),
        (x, height * 0.62, z + heel * 0.5 + swing * 0.4),
        (x, height * 0.34, z - heel + swing * 0.8),
        (x, radius * 0.8, z + swing - heel * 0.4),
    ]
    model.chain(points, [girth * 0.62, radius * 1.6, radius * 1.05, radius * 0.85], fur)
    _add_foot(model, body, x, points[3][2])


def add_neck(
    model: Model, body: Quadruped, chest: np.ndarray, angle: float, length: float, radii: tuple[float, float]
) -> np.ndarray:
    """Add a long neck, rising by `angle`, and return its upper end; `radii` are shares of the girth."""
    girth = body.girth
    top = chest + length * vector(0, math.sin(angle), math.cos(angle))
    points = [
        chest + vector(0, -0.05 * girth, -0.1 * girth),
        chest * 0.45 + top * 0.55 + vector(0, 0, -0.02),
        top,
    ]
    model.chain(points, [girth * 0.85, girth * radii[0], girth * radii[1]], body.coat, blend=0.12)
    return top


def bark(colour: Colour, scale: float) -> Material:
    """Return patchy bark, that many patches a unit."""
    return Material(colour, dimmed(colour, 0.5), Pattern.PATCHES, scale)


def add_foliage(model: Model, dice: Dice, twigs: int) -> None:
    """Add twigs with five leaves each, left and right of the figure's perch."""
    for _ in range(twigs):
        root = vector(dice.sign() * dice.between(0.6, 1.3), dice.between(0.25, 0.4), dice.between(-0.2, 0.1))
        rise = vector(dice.between(-0.4, 0.4), dice.between(0.4, 1.5), dice.between(-0.5, -0.2))
        model.cone(root, root + rise, 0.03, 0.012, (0.1, 0.06, 0.03), blend=0)
        green = dice.colour("#3f7a2c", "#5c9636", "#2f5f2a")
        for i in range(5):
            stem = root + rise * (0.3 + 0.17 * i)
            across = (-1) ** i * dice.between(0.12, 0.25)
            leaf = vector(across, dice.between(-0.05, 0.15), dice.between(-0.1, 0.2))
            flat = (dice.between(-0.5, 0.5), 1, dice.between(-1, 1))
            model.cone(stem, stem + leaf, 0.02, 0.07, green, flat=flat, squash=0.25, blend=0.01)
