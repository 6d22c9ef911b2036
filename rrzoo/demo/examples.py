"""The clay figures that the page opens with and offers."""

import functools

import numpy as np

from rrzoo import datasets
from rrzoo.gallery import Gallery
from rrzoo.model import Model

CLAY = "clay figures"
SHOWN = 250  # of them, where the pictures of a gallery are not at hand: few enough for their features to be computed
HORSE, TRUCK = 6, 9  # places of the figures that the page opens with


def example_pictures() -> tuple[list[np.ndarray], list[str]]:
    """Return 40 clay figures, none of which is in the default gallery: one of each class, then others; the classes."""
    clay = datasets.load("clay10", "train")
    of_class = [np.flatnonzero(clay.labels == label) for label in range(len(clay.classes))]
    return [clay.images[rows[place]] for place in (3, 0, 1, 2) for rows in of_class], list(clay.classes)


def example_pairs(pictures: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Return pictures that are worth relating: a figure, its mirror image and others; and two alone."""
    horse, deer, truck, ship = pictures[HORSE], pictures[4], pictures[TRUCK], pictures[8]
    mirror_image = np.ascontiguousarray(horse[:, ::-1])
    return {
        "A horse, its mirror image, a deer and a truck": [horse, mirror_image, deer, truck],
        "A figure and its mirror image": [horse, mirror_image],
        "Four clay figures": [horse, deer, truck, ship],
    }


@functools.lru_cache(maxsize=8)
def clay_gallery(model: Model) -> Gallery:
    """Return clay figures of all classes as a gallery of a model."""
    clay = datasets.load("clay10", "test")
    rows = np.arange(0, len(clay), len(clay) // SHOWN)
    labels = [clay.classes[label] for label in clay.require_labels()[rows]]
    gallery = Gallery.from_images(model, list(clay.images[rows]), labels)
    gallery.description = CLAY
    return gallery
