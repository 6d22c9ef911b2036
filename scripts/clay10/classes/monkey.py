"""A monkey: sitting on a branch or on the ground, arms at rest, at the mouth or up."""

import numpy as np

from clay10.classes.animal import add_eyes, add_foliage, bark, head_yaw
from clay10.dice import Dice
from clay10.figure import Model
from clay10.geometry import rotation, vector
from clay10.palette import DARK, Colour, dimmed
from clay10.staging import Staging

MOUTH = (0.2, 0.05, 0.05)


def build(model: Model, dice: Dice) -> Staging:
    """Model a monkey."""
    azimuth = dice.between(-0.9, 0.9)
    yaw = head_yaw(dice, azimuth)
    fur = dice.colour("#6e4526", "#8f5d2e", "#4a372b", "#8c7a66", "#b5763a", "#2b2423")
    skin = dice.colour("#e8b98d", "#d99f78", "#f0cfae", "#7a5544", "#efc4a4")
    belly = dice.colour("#d9bd95")
    model.blend = 0.1
    perched = dice.chance(0.5)
    seat = 0.5 if perched else 0.0
    hip_height = seat + 0.3
    lean = dice.between(-0.1, 0.25)
    chest = vector(0, hip_height + 0.45, lean * 0.6)
    model.cone((0, hip_height - 0.03, -0.03), chest, 0.28, 0.23, fur)
    model.ellipsoid((0, hip_height + 0.12, 0.13 + lean * 0.3), (0.2, 0.3, 0.18), belly, blend=0.06)
    for side in (-1, 1):
        _add_leg(model, dice, side, seat, fur, skin)
        _add_arm(model, dice, side, hip_height, chest, fur, skin)
    _add_tail(model, dice, hip_height, perched, fur)
    turn = rotation(dice.between(-0.15, 0.2), yaw, dice.between(-0.2, 0.2))
    with model.head(chest + vector(0, 0.36, 0.1), turn, dice.between(0.25, 0.29), blend=0.2):
        _add_head(model, fur, skin)
    if perched:
        with model.scenery():
            _add_tree(model, dice)
    elevation = dice.between(-0.1, 0.3) if perched else dice.between(0.03, 0.35)
    return Staging("canopy" if perched else "forest", azimuth, elevation, size=1.1, portrait=0.3)


def _add_leg(model: Model, dice: Dice, side: int, seat: float, fur: Colour, skin: Colour) -> None:
    hip_height = seat + 0.3
    z = dice.between(0.3, 0.45)
    knee = (side * dice.between(0.28, 0.38), hip_height + dice.between(0.1, 0.22), z)
    ankle = (side * 0.24, seat + 0.05, z + dice.between(-0.05, 0.1))
    model.chain([(side * 0.16, hip_height - 0.08, 0.05), knee, ankle], [0.15, 0.1, 0.07], fur)
    model.ellipsoid((side * 0.25, seat + 0.04, z + 0.12), (0.07, 0.05, 0.14), skin, blend=0.05)


def _add_arm(
    model: Model, dice: Dice, side: int, hip_height: float, chest: np.ndarray, fur: Colour, skin: Colour
) -> None:
    gesture = dice.pick("rest", "rest", "mouth", "up")
    if gesture == "rest":
        elbow, hand = (side * 0.38, hip_height + 0.15, 0.18), (side * 0.3, hip_height + 0.06, 0.5)
    elif gesture == "mouth":
        elbow, hand = (side * 0.42, hip_height + 0.2, 0.22), (side * 0.12, chest[1] + 0.16, 0.42)
    else:
        elbow, hand = (side * 0.5, chest[1] + 0.2, 0.05), (side * 0.46, chest[1] + 0.68, 0.1)
    shoulder = chest + vector(side * 0.2, 0.05, 0)
    model.chain([shoulder, elbow, hand], [0.12, 0.085, 0.065], fur, blend=0.06)
    model.ellipsoid(hand, (0.075, 0.08, 0.075), skin, blend=0.04)
    if gesture == "mouth" and dice.chance(0.6):
        fruit = dice.colour("#e0402a", "#f0c62a", "#e8862a")
        model.ellipsoid(vector(*hand) + vector(-side * 0.02, 0.06, 0.04), 0.07, fruit, blend=0)


def _add_tail(model: Model, dice: Dice, hip_height: float, perched: bool, fur: Colour) -> None:
    side = dice.sign()
    root = vector(0, hip_height - 0.1, -0.25)
    curls_up = dice.pick(True, False) if perched else True
    # From the root outwards, up or hanging, and back in a curl.
    across = (0, 0.22, 0.48, 0.56, 0.48, 0.3, 0.26)
    upwards = (0, -0.1, 0.05, 0.35, 0.62, 0.66, 0.5)
    rise = upwards if curls_up else (0, -0.25, -0.5, -0.72, -0.75, -0.6, -0.48)
    back = (0, -0.12, -0.12, -0.1, -0.1, -0.1, -0.1)
    points = [root + vector(side * x, y, z) for x, y, z in zip(across, rise, back, strict=True)]
    model.chain(points, [0.07, 0.06, 0.055, 0.05, 0.05, 0.045, 0.045], fur, blend=0.03)


def _add_head(model: Model, fur: Colour, skin: Colour) -> None:
    model.ellipsoid((0, 0, 0), (0.95, 0.95, 0.9), fur)
    model.ellipsoid((0, 0.62, -0.05), (0.5, 0.35, 0.5), fur)
    ear = rotation(yaw=-0.3)
    model.ellipsoid((1.02, 0.05, -0.05), (0.36, 0.42, 0.16), skin, turn=ear, mirror=True, blend=0.05)
    inner = dimmed(skin, 0.6)
    model.ellipsoid((1.04, 0.05, 0.08), (0.2, 0.26, 0.1), inner, turn=ear, mirror=True, blend=0.03)
    model.ellipsoid((0.3, 0.18, 0.62), (0.4, 0.4, 0.32), skin, mirror=True, blend=0.15)
    model.ellipsoid((0, -0.36, 0.72), (0.56, 0.42, 0.4), skin, blend=0.15)
    add_eyes(model, 0.3, 0.2, 0.9, 0.14)
    model.ellipsoid((0.1, -0.18, 1.1), (0.05, 0.04, 0.05), DARK, mirror=True, blend=0)  # nostrils
    model.cone((-0.26, -0.5, 1.02), (0.26, -0.5, 1.02), 0.04, 0.04, MOUTH, blend=0)


def _add_tree(model: Model, dice: Dice) -> None:
    wood = bark(dice.colour("#5b4331", "#7a5b3e", "#4a4a3a"), 6.0)
    left = (-2.5, 0.42 + dice.between(-0.4, 0.4), -0.1)
    right = (2.5, 0.42 + dice.between(-0.1, 0.1), 0.35)
    model.cone(left, right, 0.16, 0.11, wood, blend=0.05)
    model.cone((-1.1, 0.45, 0.1), (-1.6, 1.5, -0.3), 0.08, 0.03, wood.colour, blend=0.08)
    add_foliage(model, dice, dice.count(3, 10) // 3)
