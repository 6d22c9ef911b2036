"""What `rrzoo train` says before it begins: what will be learnt, from what, and how long that takes here."""

import dataclasses
import time

import numpy as np

from rrzoo import backbones, datasets, pretext, training
from rrzoo.commands import borrowing
from rrzoo.config import Recipe
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.images import to_square
from rrzoo.recipes import RECIPES


def images_of(chosen: Recipe) -> int:
    """Return how many images a recipe trains on; the data need not be there."""
    record = CATALOGUE.get(chosen.dataset)
    known = record.splits.get(chosen.split) if record else None
    return known or len(datasets.load(chosen.dataset, chosen.split))


def estimate(chosen: Recipe) -> float:
    """Return about how many seconds training takes on this machine, from two steps on clay figures.

    Backbones other than Conv4 take steps of few views, not compiled: an upper bound, and memory stays small.
    """
    if not chosen.epochs:
        return 0.0
    if chosen.freeze == "all":
        return borrowing.estimate(chosen) * images_of(chosen)
    few = chosen
    if chosen.backbone != "conv4":
        few = dataclasses.replace(chosen, views=pretext.TASKS[chosen.pretext].least_views, batch_size=16)
    figures = datasets.load("clay10", "test")
    figures = dataclasses.replace(figures, images=to_square(figures.images, chosen.image_size))
    task = pretext.create(few, backbones.create(few.backbone), figures)
    begun = time.perf_counter()
    task.start_epoch(0, figures)
    beginning = (time.perf_counter() - begun) / len(figures)  # seconds an image
    step = training.TrainStep(task, figures, fast=few is chosen)
    batch = np.arange(few.batch_size)
    step(0, batch)  # compiles
    begun = time.perf_counter()
    for _ in range(2):
        step(0, batch)
    view = (time.perf_counter() - begun) / 2 / (few.batch_size * few.views)
    return chosen.epochs * images_of(chosen) * (view * chosen.views + beginning)


def duration(seconds: float) -> str:
    """Return seconds as minutes or hours."""
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe(name: str, chosen: Recipe, images: datasets.Dataset, labelled: datasets.Dataset | None) -> str:
    """Say in one line what will be done."""
    text = (
        f"{name}: {len(images):,} images of {images.description}, {chosen.views} views of each, "
        f"{chosen.batch_size} images a step, {'at most ' * (chosen.freeze == 'all')}{chosen.epochs} epochs"
    )
    if labelled is not None and labelled.name != images.name:
        text += f"; then a probe on the labels of {len(labelled):,} images of {labelled.description}"
    return text


def substituted(name: str, chosen: Recipe) -> str:
    """Say in one line that a model's data is not at hand, and what takes its place; "" where nothing does."""
    promised = RECIPES.get(name)
    if (
        promised is None
        or promised.substitute is None
        or (chosen.dataset, chosen.split) != (promised.substitute, "train")
    ):
        return ""
    return (
        f"{name}: the {promised.split} split of {promised.dataset} is not at hand, so the backbone learns from "
        f"{chosen.dataset} in its place"
    )
