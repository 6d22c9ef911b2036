"""The clay figures that the page opens with and offers."""

import numpy as np

from rrzoo import datasets

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
