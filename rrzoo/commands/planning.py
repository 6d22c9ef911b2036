"""What `rrzoo train` says before it begins: what will be learnt, from what, and how long that takes here."""

import dataclasses
import time

import numpy as np

from rrzoo import backbones, datasets, devices, pretext, training
from rrzoo.commands import borrowing
from rrzoo.config import Recipe
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.devices import Device
from rrzoo.images import to_square
from rrzoo.recipes import RECIPES
from rrzoo.training import costs


def images_of(chosen: Recipe) -> int:
    """Return how many images a recipe trains on; the data need not be there."""
    record = CATALOGUE.get(chosen.dataset)
    known = record.splits.get(chosen.split) if record else None
    return known or len(datasets.load(chosen.dataset, chosen.split))


def estimate(chosen: Recipe, device: Device = devices.CPU) -> float:
    """Return about how many seconds training takes on this machine, from two steps on clay figures.

    On a CPU, backbones that are no Conv4 take steps of few views, not compiled: an upper bound, and memory stays small.
    """
    if not chosen.epochs:
        return 0.0
    if chosen.freeze == "all":
        return borrowing.estimate(chosen, device) * images_of(chosen)
    few, backbone = chosen, backbones.create(chosen.backbone)
    if device.is_cpu and not isinstance(backbone, backbones.Conv4):
        few = dataclasses.replace(chosen, views=pretext.TASKS[chosen.pretext].least_views, batch_size=16)
    figures = datasets.load("clay10", "test")
    figures = dataclasses.replace(figures, images=to_square(figures.images, chosen.image_size))
    task = pretext.create(few, backbone, figures)
    begun = time.perf_counter()
    task.start_epoch(0, figures)
    beginning = (time.perf_counter() - begun) / len(figures)  # seconds an image
    step = training.TrainStep(task, figures, fast=few is chosen, device=device)
    batch = np.arange(few.batch_size) % len(figures)
    step(0, batch)[0].item()  # compiles
    begun = time.perf_counter()
    for _ in range(2):
        loss, _ = step(0, batch)
    loss.item()  # a GPU is done only now
    view = (time.perf_counter() - begun) / 2 / (few.batch_size * few.views)
    return chosen.epochs * images_of(chosen) * (view * chosen.views + beginning)


def costs_of(chosen: Recipe) -> list[str]:
    """Say what a recipe costs wherever it is trained, and about how long it takes on some GPUs."""
    if not chosen.epochs or chosen.freeze == "all":
        return []
    figures = datasets.load("clay10", "test")
    counted = costs.count(chosen, dataclasses.replace(figures, images=to_square(figures.images, chosen.image_size)))
    views = chosen.epochs * images_of(chosen) * chosen.views
    hours = ", ".join(
        f"{gpu.name} {duration(max(60, views / counted.views_per_second(gpu)))}"
        + (" (a step does not fit)" if counted.memory(gpu.bfloat16) > costs.ROOM * gpu.memory else "")
        for gpu in costs.GPUS
    )
    return [
        f"  views: {views / 1e6:,.1f} million of {chosen.image_size} px, {counted.flops / counted.views / 1e9:.3f} "
        "GFLOP each, forward and backward",
        f"  memory of a step on a GPU: {counted.memory(True) / 1e9:.2f} GB in bfloat16, "
        f"{counted.memory(False) / 1e9:.2f} GB in float32",
        f"  estimated, not measured, on one GPU: {hours}",
    ]


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
