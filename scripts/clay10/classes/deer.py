"""A deer: a buck with antlers, a doe or a spotted fawn."""

from clay10.classes.animal import Quadruped, add_eyes, add_neck, add_trunk, head_yaw
from clay10.dice import Dice
from clay10.figure import Model, Options
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import DARK, WHITE
from clay10.staging import Staging

INNER_EAR = (0.62, 0.4, 0.33)
HOOF = (0.03, 0.02, 0.02)


def build(model: Model, dice: Dice) -> Staging:
    """Model a deer."""
    azimuth = dice.sign() * dice.between(0.2, 1.6)
    yaw = head_yaw(dice, azimuth)
    colour = dice.colour("#a8703c", "#8e5a32", "#b98650", "#7b5a3e", "#94643c")
    is_fawn = dice.chance(0.3)
    is_buck = not is_fawn and dice.chance(0.75)
    coat = Material(colour, dice.colour("#f3e9d8"), Pattern.SPOTS if is_fawn else Pattern.BELLY, 13.0)
    height = dice.between(0.7, 0.82)
    body = Quadruped(
        length=dice.between(0.44, 0.52),
        height=height,
        girth=dice.between(0.19, 0.225),
        leg_radius=0.042,
        coat=coat,
        foot=Material(HOOF),
        pose="stand" if dice.chance(0.8) else "lie",
        hock=0.14,
        belly=0.9,
    )
    neck_angle = dice.between(0.85, 1.2)
    neck_length = dice.between(0.55, 0.66)
    head_size = dice.between(0.175, 0.2)
    pitch = dice.between(0.25, 0.5)

    hip, chest = add_trunk(model, dice, body)
    top = add_neck(model, body, chest, neck_angle, neck_length, (0.55, 0.46))
    with model.head(top, rotation(pitch, yaw), head_size, blend=0.25):
        _add_head(model, coat._replace(pattern=Pattern.PLAIN))
        if is_buck:
            _add_antlers(model, dice)
    girth = body.girth
    rump = (girth * 0.6, girth * 0.65, girth * 0.3)
    model.ellipsoid(hip + vector(0, -girth * 0.1, -girth * 0.72), rump, WHITE, blend=0.04)
    tail = hip + vector(0, girth * 0.45, -girth * 0.8)
    model.cone(tail, hip + vector(0, girth * 0.1, -girth * 1.35), 0.05, 0.03, colour, blend=0.03)
    throat = top * 0.75 + chest * 0.25 + vector(0, -0.05, 0.07)
    model.ellipsoid(throat, (0.075, 0.12, 0.06), WHITE, blend=0.06)
    return Staging("forest", azimuth, elevation=dice.between(0.02, 0.3), size=1.6, portrait=0.25)


def _add_head(model: Model, coat: Material) -> None:
    model.cone((0, 0, 0), (0, -0.12, 1.25), 0.58, 0.27, coat, squash=0.85)
    model.ellipsoid((0, -0.3, 0.95), (0.24, 0.17, 0.45), WHITE, blend=0.08)
    model.ellipsoid((0, -0.04, 1.5), (0.17, 0.14, 0.12), Material(DARK, gloss=0.5), blend=0.03)
    red, green, blue = (min(1, value * 1.8 + 0.1) for value in coat.colour)
    add_eyes(model, 0.43, 0.16, 0.42, 0.17, rim=(red, green, blue))
    ear: Options = {"flat": (0, 0, 1), "mirror": True}
    model.cone((0.45, 0.35, -0.15), (1.35, 0.75, -0.2), 0.3, 0.1, coat, squash=0.45, blend=0.1, **ear)
    model.cone((0.55, 0.4, -0.02), (1.25, 0.72, -0.08), 0.18, 0.05, INNER_EAR, squash=0.4, blend=0, **ear)


def _add_antlers(model: Model, dice: Dice) -> None:
    horn = dice.colour("#c9ab7c", "#8d6b45")
    width = dice.between(0.8, 1.2)
    height = dice.between(0.85, 1.25)
    beam = [
        (0.25, 0.5, -0.1),
        (0.75 * width, 1.1 * height, -0.55),
        (1.25 * width, 1.9 * height, -0.35),
        (1.2 * width, 2.6 * height, 0.25),
    ]
    model.chain(beam, [0.14, 0.12, 0.1, 0.04], horn, mirror=True, blend=0.03)
    tines = (
        (1, (0.55 * width, 1.6 * height, 0.35)),
        (2, (1.75 * width, 2.5 * height, -0.7)),
        (2, (0.85 * width, 2.6 * height, 0.1)),
        (0, (0.35 * width, 1.05 * height, 0.45)),
    )
    for joint, tip in tines:
        model.cone(beam[joint], tip, 0.1, 0.035, horn, mirror=True, blend=0.03)
