"""Things that stand about the figure: toys, plants, rocks, street furniture."""

from collections.abc import Callable

import numpy as np

from clay10.camera import View
from clay10.dice import Dice
from clay10.figure import Model
from clay10.geometry import rotation, vector
from clay10.material import Material, Pattern
from clay10.palette import PAINTS
from clay10.staging import Place

SIDEWAYS_AND_AHEAD = (1, 0, 1)  # keeps a vector on the ground


def add_clutter(model: Model, dice: Dice, place: Place, view: View) -> None:
    """Scatter up to four things left and right of the figure."""
    model.blend = 0.05
    flat_right = view.right * SIDEWAYS_AND_AHEAD
    with model.scenery():
        for _ in range(dice.count(0, 5)):
            spot = view.target * SIDEWAYS_AND_AHEAD
            spot = spot + flat_right * dice.sign() * dice.between(0.35, 0.9) * view.extent
            spot = spot + view.ahead * dice.between(-0.1, 1.6) * view.extent
            size = view.extent * dice.between(0.05, 0.13)
            # Drawn for every place, so that all of them use up the same random numbers.
            toy = dice.pick(_add_ball, _add_cube, _add_ball, _add_pot)
            street = dice.pick(_add_traffic_cone, _add_lamp_post, _add_bush, _add_tree)
            wild = dice.pick(_add_rock, _add_bush, _add_tree, _add_tuft, _add_bush)
            if place != "runway":
                {"pet": toy, "road": street}.get(place, wild)(model, dice, spot, size, view)


_Adder = Callable[[Model, Dice, np.ndarray, float, View], None]


def _add_ball(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    radius = size * 0.7
    model.ellipsoid(spot + vector(0, radius, 0), radius, Material(dice.colour(*PAINTS), gloss=0.5), blend=0)


def _add_cube(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    colour = dice.colour(*PAINTS, "#c9a06a")
    model.box(spot + vector(0, size, 0), (size, size, size), colour, turn=rotation(yaw=dice.between(0, 3)), blend=0)


def _add_pot(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    clay = dice.colour("#b5603a", "#e0dcd0")
    model.cone(spot, spot + vector(0, size * 1.5, 0), size * 0.6, size * 0.8, clay, blend=0)
    for _ in range(5):
        leaf = vector(dice.between(-1, 1) * size, size * dice.between(2.6, 4), dice.between(-1, 1) * size)
        green = dice.colour("#3f7a2c", "#5c9636")
        root = spot + vector(0, size * 1.8, 0)
        model.cone(root, spot + leaf, size * 0.12, size * 0.3, green, squash=0.3, blend=0)


def _add_traffic_cone(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    model.cone(spot, spot + vector(0, size * 1.6, 0), size * 0.55, size * 0.1, dice.colour("#e0601a"), blend=0)


def _add_lamp_post(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    top = spot + vector(0, view.extent * 0.9, 0)
    model.cylinder(spot, top, view.extent * 0.012, (0.3, 0.3, 0.3), blend=0)
    model.ellipsoid(top, view.extent * 0.035, (0.9, 0.85, 0.6), blend=0)


def _add_rock(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    radii = (size * dice.between(0.8, 1.5), size * dice.between(0.5, 0.9), size)
    colour = dice.colour("#8a857c", "#6f6a64", "#a59a88")
    turn = rotation(yaw=dice.between(0, 3), roll=dice.between(-0.3, 0.3))
    model.ellipsoid(spot, radii, colour, turn=turn)


def _add_bush(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    for _ in range(4):
        offset = vector(dice.between(-1, 1), dice.between(0.3, 1.0), dice.between(-1, 1)) * size
        radius = size * dice.between(0.6, 1.0)
        green = dice.colour("#3f6a2e", "#5a7f35", "#2f5528")
        leaves = Material(green, dice.colour("#7a9a45"), Pattern.PATCHES, 18 / view.extent)
        model.ellipsoid(spot + offset, radius, leaves, blend=0.04)


def _add_tuft(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    for _ in range(6):
        root = spot + vector(dice.between(-0.5, 0.5) * size, 0, 0)
        tip = vector(dice.between(-1, 1), dice.between(1, 2.2), dice.between(-0.6, 0.6)) * size
        green = dice.colour("#5a8a35", "#8a9a4a")
        model.cone(root, spot + tip, size * 0.1, size * 0.02, green, blend=0)


def _add_tree(model: Model, dice: Dice, spot: np.ndarray, size: float, view: View) -> None:
    spot = spot + view.ahead * view.extent * 0.5
    height = view.extent * dice.between(0.7, 1.1)
    model.cone(spot, spot + vector(0, height, 0), size * 0.4, size * 0.25, dice.colour("#5b4331"), blend=0)
    for _ in range(4):
        x, y, z = dice.between(-1, 1) * 1.5, dice.between(-0.5, 1), dice.between(-1, 1) * 1.5
        radius = size * dice.between(1.2, 1.9)
        green = dice.colour("#3f6a2e", "#5a7f35", "#8a7a2e")
        leaves = Material(green, dice.colour("#6a8a40"), Pattern.PATCHES, 12 / view.extent)
        model.ellipsoid(spot + vector(x * size, height + y * size, z * size), radius, leaves, blend=0.06)
