"""A truck: box, semi-trailer, dump, tank or fire truck, or a pickup."""

import math
from typing import NamedTuple

from clay10.classes.vehicle import add_wheels
from clay10.dice import Dice
from clay10.figure import Model
from clay10.material import Material, Pattern
from clay10.palette import GLASS, PAINTS, RUBBER, dimmed
from clay10.staging import Staging

WIDTH = 0.5  # half
WHEEL_RADIUS = 0.2
CAB_FLOOR = WHEEL_RADIUS * 1.15
BED = CAB_FLOOR + 0.13  # height of the loading area
LADDER_RUNGS = 9

FRAME = (0.03, 0.03, 0.035)
BLACK = (0.05, 0.05, 0.05)
CHROME = (0.5, 0.5, 0.52)
BRIGHT_METAL = (0.75, 0.75, 0.75)
EXHAUST = Material((0.7, 0.7, 0.72), gloss=0.9)
HEADLIGHT = Material((0.95, 0.93, 0.8), gloss=0.9)
WINDOW = Material(GLASS, gloss=1.0)
BLUE_LIGHT = Material((0.1, 0.2, 0.9), gloss=0.9)

# Places of the rear axles along the truck: fixed, or as a share of the loading area's half length.
FIXED_AXLES = {"semi": (-1.6, -1.15), "tank": (-1.2, -0.75), "dump": (-0.7, -0.25), "fire": (-0.85,)}
SHARED_AXLES = {"box": -0.65, "pickup": -0.5}


class _Truck(NamedTuple):
    """Half length of the loading area, half height of the cab, places of cab and front end along z."""

    kind: str
    length: float
    cab_height: float
    cab: float
    front: float
    has_bonnet: bool
    paint: Material

    @property
    def front_axle(self) -> float:
        """The front wheels' place along z."""
        return self.front - 0.28 if self.has_bonnet else self.cab


def build(model: Model, dice: Dice) -> Staging:
    """Model a truck."""
    model.blend = 0
    kind = dice.pick("box", "box", "semi", "dump", "tank", "fire", "pickup")
    colour = dice.colour("#c8201c") if kind == "fire" else dice.colour(*PAINTS)
    box_length = dice.between(1.0, 1.3)
    length = {"semi": 1.9, "dump": 1.0, "tank": 1.5, "fire": 1.35, "pickup": 0.85}.get(kind, box_length)
    has_bonnet = kind != "fire" and (dice.chance(0.4) or kind == "pickup")
    cab_height = 0.36 if kind == "pickup" else dice.between(0.5, 0.6)
    cab = length + 0.35
    front = cab + (0.8 if has_bonnet else 0.34)
    truck = _Truck(kind, length, cab_height, cab, front, has_bonnet, Material(colour, gloss=0.7))
    _add_cab(model, dice, truck)
    _add_load(model, dice, truck)
    _add_wheels(model, truck)
    if kind == "semi":
        foot, top = CAB_FLOOR + 0.4, CAB_FLOOR + cab_height * 2.3
        x, z = WIDTH * 0.8, cab - 0.42
        model.cylinder((x, foot, z), (x, top, z), 0.05, EXHAUST, mirror=True)
    if kind in ("semi", "box") and dice.chance(0.4):
        deflector = (0, CAB_FLOOR + cab_height * 2.1, cab - 0.1)
        size = (WIDTH * 0.8, 0.13, 0.22)
        model.box(deflector, size, truck.paint, rounding=0.08, taper_y=0.3, blend=0.05)
    azimuth = dice.pick(0, 0, 0, 0, math.pi) + dice.sign() * dice.between(0.35, 1.3)
    return Staging("road", azimuth, elevation=dice.between(0.04, 0.4))


def _add_cab(model: Model, dice: Dice, truck: _Truck) -> None:
    height, z, front, paint = truck.cab_height, truck.cab, truck.front, truck.paint
    model.box((0, CAB_FLOOR + 0.06, 0.1), (0.34, 0.07, truck.length + 0.25), FRAME)
    shell = (WIDTH * 0.94, height, 0.34)
    model.box((0, CAB_FLOOR + height, z), shell, paint, rounding=0.09, taper_y=0.06)
    sill = CAB_FLOOR + height * 1.42
    windscreen = (WIDTH * 0.82, height * 0.33, 0.15)
    model.box((0, sill, z + 0.2), windscreen, WINDOW, rounding=0.04, taper_y=0.05)
    model.box((0, sill, z + 0.02), (WIDTH * 0.955, height * 0.28, 0.18), WINDOW, rounding=0.03)
    if truck.has_bonnet:
        bonnet = (WIDTH * 0.8, height * 0.5, 0.32)
        model.box((0, CAB_FLOOR + height * 0.55, z + 0.5), bonnet, paint, rounding=0.1, blend=0.05)
    metal = (0.12, 0.12, 0.13) if dice.chance(0.5) else (0.55, 0.55, 0.57)
    grille = Material(metal, (0.02, 0.02, 0.02), Pattern.WINDOW_GRID, 60.0, gloss=0.4)
    model.box((0, CAB_FLOOR + height * 0.5, front), (WIDTH * 0.5, height * 0.28, 0.02), grille)
    bumper = Material(CHROME if dice.chance(0.5) else BLACK, gloss=0.6)
    model.box((0, CAB_FLOOR + 0.04, front), (WIDTH * 0.95, 0.08, 0.06), bumper, rounding=0.03)
    lamp = (WIDTH * 0.7, CAB_FLOOR + height * 0.42, front)
    model.ellipsoid(lamp, (0.09, 0.07, 0.04), HEADLIGHT, mirror=True)
    mirror = (WIDTH * 1.12, CAB_FLOOR + height * 1.3, z + 0.3)
    model.box(mirror, (0.04, 0.1, 0.03), BLACK, mirror=True)


def _add_load(model: Model, dice: Dice, truck: _Truck) -> None:
    colour = dice.colour("#f0efec", "#e6e4de", "#d8b23a", "#2c5ea8", "#b8bcc2", "#c4472c", "#3f8a55")
    load = Material(colour)
    if truck.kind in ("box", "semi"):
        _add_container(model, dice, truck, load)
    elif truck.kind == "dump":
        _add_dump_bed(model, dice, truck, load)
    elif truck.kind == "tank":
        _add_tank(model, truck, load)
    elif truck.kind == "fire":
        _add_fire_body(model, truck)
    else:
        _add_open_bed(model, dice, truck)


def _add_container(model: Model, dice: Dice, truck: _Truck, load: Material) -> None:
    height = dice.between(0.55, 0.68)
    dice.pick(0, 1, 2)  # unused, but the draws after it depend on it
    if dice.pick(False, True):
        second, pattern, scale = dimmed(load.colour, 0.8), Pattern.CORRUGATED, 40.0
    else:
        second, pattern, scale = dice.colour(*PAINTS), Pattern.STRIPE, 0.1
    wall = Material(load.colour, second, pattern, scale, gloss=0.15)
    model.box((0, BED + height, -0.05), (WIDTH, height, truck.length), wall, rounding=0.035)


def _add_dump_bed(model: Model, dice: Dice, truck: _Truck, load: Material) -> None:
    length = truck.length
    bed = (WIDTH, 0.36, length * 0.95)
    model.box((0, BED + 0.42, -0.1), bed, load, taper_y=-0.12, rounding=0.04)
    model.box((0, BED + 0.75, -0.1), (WIDTH * 0.95, 0.3, length * 0.9), load, hollow=True)
    earth = dice.colour("#7a5a3c", "#9a9080", "#c9a86a")
    model.ellipsoid((0, BED + 0.6, -0.1), (WIDTH * 0.9, 0.3, length * 0.8), earth, blend=0.02)
    model.box((0, BED + 0.8, length * 0.95), (WIDTH, 0.06, 0.25), load)
    for z in (-0.8, -0.3, 0.2, 0.6):
        model.box((WIDTH * 1.02, BED + 0.42, z), (0.03, 0.34, 0.03), load, mirror=True)


def _add_tank(model: Model, truck: _Truck, load: Material) -> None:
    y = BED + 0.5
    shine = load._replace(gloss=0.9)
    model.cylinder((0, y, -truck.length), (0, y, truck.length * 0.95), 0.48, shine, rounding=0.15)
    for z in (-0.9, -0.1, 0.8):
        hoop = Material((0.3, 0.3, 0.32), gloss=0.5)
        model.cylinder((0, y, z - 0.03), (0, y, z + 0.03), 0.495, hoop)
    model.cylinder((0, BED + 0.9, -0.2), (0, BED + 1.05, -0.2), 0.12, (0.4, 0.4, 0.4))


def _add_fire_body(model: Model, truck: _Truck) -> None:
    length = truck.length
    model.box((0, BED + 0.5, -0.1), (WIDTH, 0.5, length * 0.98), truck.paint, rounding=0.05)
    model.box((0, BED + 0.42, -0.1), (WIDTH * 1.01, 0.06, length), (0.85, 0.85, 0.8))  # white band
    locker = Material((0.5, 0.5, 0.52), gloss=0.5)
    for z in (-0.85, -0.2, 0.45):
        model.box((WIDTH * 0.98, BED + 0.66, z), (0.03, 0.16, 0.26), locker, mirror=True)
    # The ladder rises towards the cab.
    for x in (-0.16, 0.16):
        model.cone((x, BED + 1.08, -length), (x, BED + 1.2, length + 0.3), 0.03, 0.03, BRIGHT_METAL)
    for i in range(LADDER_RUNGS):
        y, z = BED + 1.085 + i * 0.013, -length + i * (2 * length + 0.3) / LADDER_RUNGS
        model.cone((-0.16, y, z), (0.16, y, z), 0.022, 0.022, BRIGHT_METAL)
    light = (0.2, CAB_FLOOR + truck.cab_height * 2.05, truck.cab)
    model.box(light, (0.14, 0.06, 0.06), BLUE_LIGHT, mirror=True)


def _add_open_bed(model: Model, dice: Dice, truck: _Truck) -> None:
    model.box((0, BED + 0.2, -0.05), (WIDTH, 0.22, truck.length), truck.paint, rounding=0.07)
    hold = (WIDTH * 0.85, 0.2, truck.length * 0.84)
    model.box((0, BED + 0.42, -0.1), hold, truck.paint, hollow=True)
    if dice.chance(0.5):
        cargo = dice.colour("#a5793f", "#8a8a80")
        model.box((0.05, BED + 0.3, -0.2), (0.25, 0.2, 0.3), cargo)


def _add_wheels(model: Model, truck: _Truck) -> None:
    if truck.kind in SHARED_AXLES:
        rear: tuple[float, ...] = (truck.length * SHARED_AXLES[truck.kind],)
    else:
        rear = FIXED_AXLES[truck.kind]
    if truck.kind == "semi":
        rear += (truck.length - 0.45,)  # the tractor's own
    for z in rear:
        add_wheels(model, WIDTH * 0.84, z, WHEEL_RADIUS, 0.1)
    z = truck.front_axle
    add_wheels(model, WIDTH * 0.86, z, WHEEL_RADIUS, 0.08)
    arch = WHEEL_RADIUS * 1.25
    model.cylinder((WIDTH * 0.97, WHEEL_RADIUS, z), (WIDTH, WHEEL_RADIUS, z), arch, RUBBER, mirror=True)
