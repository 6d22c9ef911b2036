"""What the page opens with and offers: photographs that come with Gradio, pictures of a gallery, and clay figures."""

import functools
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import datasets, images
from rrzoo.datasets import clay10
from rrzoo.demo.once import once
from rrzoo.gallery import Gallery
from rrzoo.model import Model

CLAY = "clay figures and photographs"
SHOWN = 250  # of them, where the pictures of a gallery are not at hand: few enough for their features to be computed
HORSE, TRUCK = 6, 9  # places of the figures that the page opens with
FIGURES = Path(__file__).with_name("figures.webp")  # rows of ten, one of each class: scripts/figures.py writes them
PHOTOGRAPHS = {"cheetah": "cheetah1.jpg", "running cheetah": "cheetah.jpg", "lion": "lion.jpg", "tower": "tower.jpg"}
OF_GALLERY = 6  # pictures of it that are offered


@dataclass(frozen=True)
class Example:
    """A picture that is offered."""

    key: str  # what an address calls it
    name: str  # what it shows
    picture: np.ndarray  # uint8 RGB (H, W, 3)


@functools.cache
def example_pictures() -> tuple[list[np.ndarray], list[str]]:
    """Return 40 clay figures, none of which is in the default gallery: one of each class, then others; the classes."""
    return list(clay10.cut(FIGURES)), list(clay10.CLASSES)


def photographs() -> list[Example]:
    """Return the photographs that the package gradio brings along; fewer, where it brings fewer."""
    package = importlib.util.find_spec("gradio")
    if package is None or not package.submodule_search_locations:
        return []
    folder = Path(package.submodule_search_locations[0]) / "media_assets" / "images"
    found = {name: folder / file for name, file in PHOTOGRAPHS.items() if (folder / file).is_file()}
    return [Example(name.replace(" ", "-"), name, images.read(path)) for name, path in found.items()]


def of_gallery(gallery: Gallery) -> list[Example]:
    """Return pictures of a gallery: the fourth last of some classes, which STL-10's probe has not seen; or any."""
    if gallery.no_pictures:
        return []
    of_class = [np.flatnonzero(gallery.labels == label) for label in range(len(gallery.classes))]
    rows = [int(rows[-4:][0]) for rows in of_class if len(rows)] or list(range(len(gallery)))
    chosen = np.unique(np.linspace(0, len(rows) - 1, OF_GALLERY).round().astype(int))
    return [
        Example(
            gallery.sources[row],
            gallery.classes[gallery.labels[row]] if gallery.labels[row] >= 0 else gallery.sources[row],
            np.asarray(gallery.thumbnail(row)),
        )
        for row in (rows[place] for place in chosen)
    ]


def offered(gallery: Gallery) -> tuple[list[Example], str]:
    """Return photographs and pictures of a gallery that the page offers, and where they come from, as a sentence."""
    brought, own = photographs(), of_gallery(gallery)
    sources = [f"The first {len(brought)} come with the package gradio (Apache-2.0)"] if brought else []
    sources += [f"the others are of {gallery.description or 'the gallery'}"] if brought and own else []
    return brought + own, f"{', '.join(sources)}." if sources else ""


def example_pairs(pictures: list[np.ndarray], photographs: list[Example]) -> dict[str, list[np.ndarray]]:
    """Return pictures that are worth relating: photographs, if any; a figure, its mirror image, others; two alone."""
    horse, deer, truck, ship = pictures[HORSE], pictures[4], pictures[TRUCK], pictures[8]
    mirror_image = np.ascontiguousarray(horse[:, ::-1])
    pairs = {}
    if len(photographs) > 2:
        one, two, three = photographs[0], photographs[1], photographs[-1]
        shown = [one.picture, np.ascontiguousarray(one.picture[:, ::-1]), two.picture, three.picture]
        pairs[f"Photographs: {one.name}, its mirror image, {two.name}, {three.name}"] = shown
    return pairs | {
        "A horse, its mirror image, a deer and a truck": [horse, mirror_image, deer, truck],
        "A figure and its mirror image": [horse, mirror_image],
        "Four clay figures": [horse, deer, truck, ship],
    }


@once
def clay_gallery(model: Model) -> Gallery:
    """Return clay figures of all classes, and the photographs, as a gallery of a model; it takes seconds, once."""
    clay = datasets.load("clay10", "test")
    rows = np.arange(0, len(clay), len(clay) // SHOWN)
    labels = [clay.classes[label] for label in clay.require_labels()[rows]]
    others = photographs()
    pictures = [*clay.images[rows], *(one.picture for one in others)]

    def go_on(done: int, total: int) -> None:
        if not threading.main_thread().is_alive():  # the server was told to stop
            raise SystemExit

    gallery = Gallery.from_images(model, pictures, [*labels, *(one.name for one in others)], progress=go_on)
    gallery.sources = [*(f"clay10/test/{row}" for row in rows), *(one.key for one in others)]
    gallery.description = CLAY
    return gallery
