#!/usr/bin/env python
"""Write the clay figures that the demo offers to rrzoo/demo/figures.webp, without loss.

They are some of clay10's training split: to decode all of it for forty would take a second of the demo's start.
"""

import startup  # noqa: F401  # isort: skip  # before torch loads

import io

import numpy as np
from PIL import Image

from rrzoo import datasets, files
from rrzoo.demo.examples import FIGURES

FIRST = (0, 1, 0, 0, 3, 0, 3, 1, 3, 3)  # of each class's figures the one that is offered: lite0-stl10 names it right
EACH = 4  # figures of a class


def chosen() -> np.ndarray:
    """Return the figures, uint8 (40, 96, 96, 3): one of each class, then the others."""
    clay = datasets.load("clay10", "train")
    labels = clay.require_labels()
    of_class = [np.flatnonzero(labels == label)[:EACH] for label in range(len(clay.classes))]
    first = [rows[place] for rows, place in zip(of_class, FIRST, strict=True)]
    places = range(EACH)
    others = [rows[place] for place in places for rows, taken in zip(of_class, FIRST, strict=True) if place != taken]
    figures: np.ndarray = clay.images[np.array([*first, *others])]
    return figures


def main() -> None:
    """Write the file."""
    figures = chosen()
    size = figures.shape[1]
    sheet = figures.reshape(EACH, -1, size, size, 3).swapaxes(1, 2).reshape(EACH * size, -1, 3)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "WEBP", lossless=True, quality=100, method=6)
    files.write(FIGURES, file.getvalue())


if __name__ == "__main__":
    main()
