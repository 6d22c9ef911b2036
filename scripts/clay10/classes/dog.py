"""A dog: with flopping or pricked ears, a short or a long nose; sitting, standing or lying."""

import numpy as np

from clay10.classes.animal import Pose, Quadruped, add_eyes, add_trunk, head_yaw
from clay10.dice import Dice
from clay10.figure import Model, Options
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import DARK, PINK, WHITE, dimmed
from clay10.staging import Staging

COATS = (
    ("#a8692f", "#e9cfa6"),
    ("#e3c79b", "#f5ead6"),
    ("#1d1b1b", "#a8602c"),
    ("#f2ede6", "#1f1d1d"),
    ("#f0e6d8", "#8f5426"),
    ("#5b3a22", "#7d5532"),
    ("#8d8880", "#efece6"),
    ("#c98f4e", "#f7efe2"),
    ("#f4efe8", "#d9b27a"),
)
TONGUE = (0.7, 0.18, 0.2)


def build(model: Model, dice: Dice) -> Staging:
    """Model a dog."""
    azimuth = dice.between(-1.3, 1.3)
    yaw = head_yaw(dice, azimuth)
    base, other = dice.pick(*COATS)
    colour, second = dice.colour(base), dice.colour(other)
    pattern = dice.pick(Pattern.PATCHES, Pattern.BELLY, Pattern.BELLY, Pattern.PLAIN, Pattern.SPOTS)
    scale = dice.between(2.2, 3.5) if pattern == Pattern.PATCHES else 8.0
    coat = Material(colour, second, pattern, scale)
    pose: Pose = dice.pick("sit", "stand", "stand", "lie")
    girth = dice.between(0.2, 0.28)
    height = dice.between(0.3, 0.62)
    body = Quadruped(
        pose=pose,
        length=dice.between(0.48, 0.62),
        height=height,
        girth=girth,
        leg_radius=dice.between(0.075, 0.095),
        coat=coat,
        foot=coat,
        hock=0.25,
        belly=0.9,
        rump=0.8,
    )
    hip, chest = add_trunk(model, dice, body)
    head = chest + ((0, 0.48, 0.12) if pose == "sit" else (0, 0.36, 0.34))
    head_size = dice.between(0.22, 0.27)
    model.cone(chest + vector(0, 0.05, 0), head, girth * 0.8, 0.15, coat)
    if dice.chance(0.6):
        _add_collar(model, dice, chest, head)
    _add_tail(model, dice, body, hip)
    with model.head(head, rotation(dice.between(-0.15, 0.2), yaw), head_size, blend=0.3):
        _add_head(model, dice, coat)
    elevation = dice.between(0.05, 0.45)
    return Staging("pet" if dice.chance(0.4) else "field", azimuth, elevation, portrait=0.3)


def _add_collar(model: Model, dice: Dice, chest: np.ndarray, head: np.ndarray) -> None:
    neck = head - chest
    middle = chest + neck * 0.55
    half = neck / np.linalg.norm(neck) * 0.03
    colour = dice.colour("#c22a2a", "#2a55c2", "#2a2a2a", "#3c9c4a")
    model.cylinder(middle - half, middle + half, 0.2, colour, blend=0, rounding=0.02)


def _add_tail(model: Model, dice: Dice, body: Quadruped, hip: np.ndarray) -> None:
    root = hip + vector(0, body.girth * 0.5, -body.girth * 0.6)
    lift = dice.between(-0.2, 0.7)
    bush = dice.between(0.05, 0.1)
    middle = root + vector(dice.between(-0.1, 0.1), 0.1 + 0.2 * lift, -0.22)
    tip = root + vector(dice.between(-0.15, 0.15), 0.12 + 0.75 * lift, -0.36 + 0.15 * max(lift, 0))
    model.chain([root, middle, tip], [0.07, bush, 0.035], body.coat, blend=0.05)


def _add_head(model: Model, dice: Dice, coat: Material) -> None:
    two_tone = coat.pattern in (Pattern.BELLY, Pattern.PATCHES) and coat.second_colour
    nose = dice.between(0.75, 1.45)
    muzzle = two_tone or coat.colour
    flopping = dice.chance(0.65)
    model.ellipsoid((0, 0.05, 0), (0.85, 0.82, 0.88), coat)
    model.cone((0, -0.22, 0.45), (0, -0.3, nose), 0.48, dice.between(0.28, 0.36), muzzle, blend=0.25)
    model.ellipsoid((0, -0.14, nose + 0.27), (0.19, 0.15, 0.14), Material(DARK, gloss=0.5), blend=0.02)
    model.cone((0, -0.56, 0.5), (0, -0.6, nose * 0.95), 0.22, 0.16, muzzle, blend=0.08)
    if dice.chance(0.5):
        tip = (0.03, -0.98, nose * 1.1 + 0.05)
        model.cone((0, -0.62, nose * 0.9), tip, 0.15, 0.15, TONGUE, flat=(0, 0, 1), squash=0.35, blend=0)
    add_eyes(model, 0.38, 0.2, 0.76, 0.155, rim=dice.pick(None, (0.05, 0.025, 0.015), WHITE))
    ear = dimmed(coat.colour, 0.6)
    if coat.pattern == Pattern.PATCHES and dice.chance(0.7):
        ear = muzzle
    if flopping:
        points = [(0.6, 0.6, -0.05), (0.95, 0.35, 0.02), (1.02, -0.45, 0.12)]
        model.chain(points, [0.24, 0.34, 0.3], ear, flat=(1, 0, 0.2), squash=0.45, mirror=True, blend=0.1)
    else:
        pricked: Options = {"flat": (0, 0, 1), "mirror": True}
        model.cone((0.5, 0.5, -0.05), (0.68, 1.35, -0.08), 0.38, 0.07, ear, squash=0.42, blend=0.12, **pricked)
        model.cone((0.5, 0.6, 0.08), (0.66, 1.15, 0.06), 0.22, 0.04, PINK, squash=0.35, blend=0, **pricked)
