"""A picture from start to end: figure, camera, surroundings, rendering, finish."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from clay10.camera import frame, place_camera
from clay10.classes import airplane, bird, car, cat, deer, dog, horse, monkey, ship, truck
from clay10.clutter import add_clutter
from clay10.dice import Dice
from clay10.field import Field
from clay10.figure import Model
from clay10.picture import Camera, paint
from clay10.setting import draw_world, has_ground
from clay10.world import Ground, World

BUILDERS = {
    "airplane": airplane.build,
    "bird": bird.build,
    "car": car.build,
    "cat": cat.build,
    "deer": deer.build,
    "dog": dog.build,
    "horse": horse.build,
    "monkey": monkey.build,
    "ship": ship.build,
    "truck": truck.build,
}


class Scene(NamedTuple):
    """All that a picture shows: the arguments of `picture.paint`, and the generator for the finish."""

    field: Field
    world: World
    camera: Camera
    rng: np.random.Generator


def build_scene(class_number: int, class_name: str, index: int) -> Scene:
    """Model the figure number `index` of a class and everything about it."""
    rng = np.random.default_rng([class_number, index])
    dice = Dice(rng)
    model = Model()
    staging = BUILDERS[class_name](model, dice)
    on_ground = has_ground(staging.place)
    points = [point for point in model.key_points if point.role != "scenery"]
    view = place_camera(dice, staging, points, on_ground)
    camera = frame(dice, staging, points, view)
    world = draw_world(dice, staging, view)
    if on_ground and world.ground != Ground.WATER:
        add_clutter(model, dice, staging.place, view)
    return Scene(model.field(), world, camera, rng)


def draw(class_number: int, class_name: str, index: int, size: int) -> np.ndarray:
    """Return the finished picture, uint8 (size, size, 3)."""
    scene = build_scene(class_number, class_name, index)
    image, _ = paint(scene.field, scene.world, scene.camera, size)
    return finish(image, scene.rng)


def finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Develop a picture, float64 (size, size, 3) in 0...1, to uint8: contrast, vignette, grain, soft lens."""
    image = image + 0.35 * (image * image * (3 - 2 * image) - image)
    contrast, brightness = rng.uniform(0.95, 1.12), rng.uniform(-0.03, 0.04)
    image = np.clip((image - 0.5) * contrast + 0.5 + brightness, 0, 1)
    grey = image.mean(2, keepdims=True)
    image = grey + (image - grey) * rng.uniform(1.0, 1.35)
    size = image.shape[0]
    across = np.linspace(-1, 1, size)
    corner = (across[:, None] ** 2 + across**2) / 2
    image = image * (1 - rng.uniform(0, 0.22) * corner)[..., None]
    image = image + rng.normal(0, max(0, rng.uniform(-0.012, 0.018)), image.shape)
    levels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    soft = ImageFilter.GaussianBlur(rng.uniform(0, 0.55))
    return np.asarray(Image.fromarray(levels).filter(soft))
