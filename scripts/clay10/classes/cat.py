"""A cat: tabby, patched, pale-bellied or plain; sitting, standing or lying."""

import numpy as np

from clay10.classes.animal import Pose, Quadruped, add_eyes, add_trunk, head_yaw
from clay10.dice import Dice
from clay10.figure import Model, Options
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import DARK, PINK, Colour
from clay10.staging import Staging

COATS = (
    ("#c8742a", "#f3d9b0"),
    ("#77706a", "#2e2a28"),
    ("#8b8f96", "#d9dce0"),
    ("#221f1f", "#332e2c"),
    ("#efe9df", "#d49150"),
    ("#e9dcc6", "#5a3d2c"),
    ("#a9794b", "#4a2f1c"),
    ("#f1ece4", "#25201f"),
    ("#b9a48c", "#6b5640"),
)
EYES = ("#8fbf3f", "#d8b52a", "#5aa7d8", "#c9952c", "#9fce6a")


def build(model: Model, dice: Dice) -> Staging:
    """Model a cat."""
    azimuth = dice.between(-1.2, 1.2)
    yaw = head_yaw(dice, azimuth)
    coat = _coat(dice)
    paw = coat if dice.chance(0.5) else Material(dice.colour("#f3ece0"))
    pose: Pose = dice.pick("sit", "sit", "stand", "lie")
    girth = dice.between(0.19, 0.25)
    body = Quadruped(
        pose=pose,
        length=dice.between(0.42, 0.52),
        height=dice.between(0.34, 0.42),
        girth=girth,
        leg_radius=0.075,
        coat=coat,
        foot=paw,
        hock=0.3,
    )
    hip, chest = add_trunk(model, dice, body)
    cheeks = dice.between(0.95, 1.1)
    head = chest + ((0, 0.40, 0.06) if pose == "sit" else (0, 0.28, 0.30))
    head_size = dice.between(0.23, 0.27)
    pitch = dice.between(-0.2, 0.2)
    model.cone(chest, head, girth * 0.8, 0.14, coat)
    _add_tail(model, dice, body, hip)
    with model.head(head, rotation(pitch, yaw), head_size, blend=0.25):
        _add_head(model, dice, coat, cheeks)
    return Staging("pet", azimuth, elevation=dice.between(0.05, 0.5), portrait=0.35)


def _coat(dice: Dice) -> Material:
    base, other = dice.pick(*COATS)
    colour = dice.colour(base)
    second = dice.colour(other)
    pattern = dice.pick(Pattern.TABBY, Pattern.TABBY, Pattern.PATCHES, Pattern.BELLY, Pattern.PLAIN)
    if pattern == Pattern.BELLY:
        second = dice.colour("#f3ece0")
    scale = dice.between(20, 28) if pattern == Pattern.TABBY else dice.between(3, 5)
    return Material(colour, second, pattern, scale)


def _add_tail(model: Model, dice: Dice, body: Quadruped, hip: np.ndarray) -> None:
    root = hip - vector(0, 0, body.girth * 0.8)
    side = dice.sign()
    if body.pose == "stand":  # raised
        curve = ((0, 0.1, 0), (0.05, 0.22, -0.15), (0.1, 0.45, -0.25), (0.12, 0.68, -0.18), (0.1, 0.8, -0.05))
        points = [root + vector(side * x, y, z) for x, y, z in curve]
    else:  # round the body on the ground
        curve = ((0, 0.09, 0), (0.3, 0.07, -0.05), (0.48, 0.06, 0.28), (0.48, 0.06, 0.6), (0.36, 0.06, 0.8))
        points = [vector(side * x, y, root[2] + z) for x, y, z in curve]
    model.chain(points, [0.07, 0.065, 0.06, 0.06, 0.055], body.coat, blend=0.05)


def _add_head(model: Model, dice: Dice, coat: Material, cheeks: float) -> None:
    muzzle: Colour = dice.colour("#f5ede2") if dice.chance(0.6) else coat.colour
    face = coat._replace(pattern_scale=coat.pattern_scale * 1.3)
    model.ellipsoid((0, 0, 0), (1.06 * cheeks, 0.9, 0.9), face)
    model.ellipsoid((0.45, -0.3, 0.35), (0.5, 0.42, 0.45), face, mirror=True)
    ear: Options = {"flat": (0, 0, 1), "mirror": True}
    model.cone((0.55, 0.35, 0), (0.78, 1.22, -0.05), 0.46, 0.06, coat, squash=0.42, blend=0.12, **ear)
    model.cone((0.58, 0.45, 0.14), (0.76, 1.05, 0.1), 0.28, 0.04, PINK, squash=0.35, blend=0, **ear)
    model.ellipsoid((0.2, -0.34, 0.78), (0.29, 0.24, 0.26), muzzle, mirror=True, blend=0.1)
    model.ellipsoid((0, -0.55, 0.68), (0.2, 0.16, 0.2), muzzle, blend=0.1)
    nose = dice.pick(PINK, (0.3, 0.08, 0.08), DARK)
    model.ellipsoid((0, -0.16, 0.98), (0.13, 0.09, 0.09), nose, blend=0.02)
    add_eyes(model, 0.42, 0.1, 0.74, 0.21, iris=dice.colour(*EYES))
    red, green, blue = (min(1.0, value + 0.5) for value in coat.colour)
    for y in (-0.3, -0.42):
        tip = (1.5, y * 1.4 + 0.1, 0.75)
        model.cone((0.4, y, 0.85), tip, 0.013, 0.008, (red, green, blue), mirror=True, blend=0)  # whisker
