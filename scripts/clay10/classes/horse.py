"""A horse: standing or grazing, with mane and tail, sometimes saddled."""

import math

import numpy as np

from clay10.classes.animal import Quadruped, add_eyes, add_neck, add_trunk
from clay10.dice import Dice
from clay10.figure import Model
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import DARK, WHITE, Colour
from clay10.staging import Staging

COATS_AND_MANES = (
    ("#7a4220", "#1b1413"),
    ("#4a2a18", "#1a1210"),
    ("#b5763c", "#efe0c0"),
    ("#e8e4dc", "#c9c2b6"),
    ("#8f8a84", "#3a3735"),
    ("#211c1b", "#141111"),
    ("#9a5527", "#7a3f1c"),
    ("#f0ebe2", "#6b3a1e"),
)
TUFTS = 6  # of the mane


def build(model: Model, dice: Dice) -> Staging:
    """Model a horse."""
    base, mane_code = dice.pick(*COATS_AND_MANES)
    colour, mane = dice.colour(base), dice.colour(mane_code, jitter=0.02)
    pattern = Pattern.PATCHES if dice.chance(0.25) else Pattern.PLAIN
    coat = Material(colour, dice.colour("#f2ece2"), pattern, 2.0)
    height = dice.between(0.8, 0.92)
    body = Quadruped(
        pose="stand",
        length=dice.between(0.55, 0.66),
        height=height,
        girth=dice.between(0.235, 0.27),
        leg_radius=0.054,
        coat=coat,
        foot=Material(dice.colour("#2a2320", "#f0eae0")),
        hock=0.14,
        belly=0.95,
    )
    grazing = dice.chance(0.2)
    neck_angle = dice.between(-0.75, -0.6) if grazing else dice.between(0.6, 1.05)
    neck_length = dice.between(0.66, 0.8) * (1.15 if grazing else 1)
    head_size = dice.between(0.2, 0.23)
    yaw = dice.between(-0.4, 0.4)
    pitch = dice.between(0.75, 1.05) if grazing else dice.between(0.45, 0.8)

    hip, chest = add_trunk(model, dice, body)
    top = add_neck(model, body, chest, neck_angle, neck_length, (0.66, 0.46))
    with model.head(top, rotation(pitch, yaw), head_size, blend=0.25):
        _add_head(model, dice, coat, mane)
    _add_mane(model, dice, mane, chest, neck_angle, neck_length, body.girth, grazing)
    _add_tail(model, dice, mane, hip, body.girth)
    if dice.chance(0.3):
        _add_saddle(model, dice, height, body.girth)
    azimuth = dice.sign() * dice.between(0.35, 1.75)
    return Staging("field", azimuth, elevation=dice.between(0.02, 0.3), size=1.7, portrait=0.15)


def _add_head(model: Model, dice: Dice, coat: Material, mane: Colour) -> None:
    model.cone((0, 0, -0.1), (0, -0.12, 2.0), 0.62, 0.36, coat, squash=0.8)
    model.ellipsoid((0, -0.35, 0.25), (0.42, 0.55, 0.6), coat)
    nose = dice.colour("#2c211d", "#d9b8a5") if coat.pattern == Pattern.PLAIN else WHITE
    model.ellipsoid((0, -0.12, 2.12), (0.36, 0.38, 0.34), nose)
    model.ellipsoid((0.2, 0, 2.36), (0.09, 0.11, 0.09), DARK, mirror=True, blend=0)  # nostrils
    add_eyes(model, 0.44, 0.14, 0.6, 0.15)
    if dice.chance(0.5):
        model.ellipsoid((0, 0.38, 0.8), (0.16, 0.12, 0.75), WHITE, turn=rotation(0.12), blend=0.05)  # blaze
    ear_root, ear_tip = (0.3, 0.4, -0.2), (0.42, 1.0, -0.15)
    model.cone(ear_root, ear_tip, 0.2, 0.03, coat, flat=(0, 0, 1), squash=0.5, mirror=True, blend=0.1)
    model.cone((0, 0.6, -0.2), (0, 0.35, 0.6), 0.22, 0.08, mane, blend=0.1)  # forelock


def _add_mane(
    model: Model,
    dice: Dice,
    mane: Colour,
    chest: np.ndarray,
    neck_angle: float,
    neck_length: float,
    girth: float,
    grazing: bool,
) -> None:
    side = dice.sign()
    along = vector(0, math.sin(neck_angle), math.cos(neck_angle))
    crest = vector(0, math.cos(neck_angle), -math.sin(neck_angle))
    for i in range(TUFTS):
        root = chest + along * neck_length * (i + 0.6) / (TUFTS - 0.2)
        root += crest * (girth * (0.95 - 0.45 * i / TUFTS))
        tip = root + vector(side * 0.13, 0.05 if grazing else -0.2, -0.03)
        model.cone(root, tip, 0.075, 0.035, mane, blend=0.04)


def _add_tail(model: Model, dice: Dice, mane: Colour, hip: np.ndarray, girth: float) -> None:
    root = hip + vector(0, girth * 0.55, -girth * 0.75)
    swing = dice.between(-0.15, 0.15)
    curve = ((0, 0, 0), (swing * 0.3, 0, -0.14), (swing, -0.35, -0.2), (swing * 1.5, -0.75, -0.14))
    model.chain([root + offset for offset in curve], [0.06, 0.08, 0.1, 0.03], mane, blend=0.05)


def _add_saddle(model: Model, dice: Dice, height: float, girth: float) -> None:
    leather = dice.colour("#5a2e18", "#2a2a2a")
    model.box((0, height + girth * 1.75, 0), (0.17, 0.05, 0.2), leather, rounding=0.05, blend=0.03)
    cloth = dice.colour("#b02a2a", "#2a50a0", "#eeeeee", "#2e7a45")
    model.box((0, height + girth * 1.25, 0), (girth * 1.02, 0.2, 0.16), cloth, rounding=0.04, blend=0)
