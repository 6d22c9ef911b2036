"""How much of a folder's pictures a model can learn from in the time that there is, from a few steps on them."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from rrzoo import training
from rrzoo.commands import borrowing, computing
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.datasets.mapped import Selection
from rrzoo.training import checkpoint, kept_features

SHARE = 0.95  # of the time that is planned for: a machine may be slower later on
OF_FEATURES = 0.85  # of that, where a head learns from features: its epochs take the rest


def that_fit(chosen: Recipe, images: Dataset, run: Path, options: argparse.Namespace) -> tuple[Recipe, Dataset]:
    """Return the recipe with as many epochs, and as many of the images, as fit into --minutes.

    The learning rate falls until the last epoch, so training that is cut off is worse than training that is shorter.
    A resumed run has the epochs, or the pictures, that it was started with.
    """
    seconds = SHARE * 60 * options.minutes
    if chosen.freeze == "all":
        if options.resume:
            return chosen, some_of(images, kept_features.read(run).pictures)
        of_picture = borrowing.estimate(chosen, computing.device(options))
        most = max(training.LEAST, chosen.batch_size, int(OF_FEATURES * seconds / of_picture))
        return chosen, some_of(images, most)
    if options.resume:
        return dataclasses.replace(chosen, epochs=checkpoint.recipe_of(run).epochs), images
    if options.epochs is not None:
        return chosen, images
    steps = max(1, int(seconds / training.seconds_of_step(chosen, images, computing.device(options))))
    of_epoch = len(images) // chosen.batch_size
    if steps < of_epoch:
        return dataclasses.replace(chosen, epochs=1), some_of(images, steps * chosen.batch_size)
    return dataclasses.replace(chosen, epochs=min(chosen.epochs, steps // of_epoch)), images


def some_of(images: Dataset, most: int) -> Dataset:
    """Return the images, or where they are more than `most`, so many of them, drawn at random; say so."""
    if len(images) <= most:
        return images
    print(f"of {len(images):,} pictures {most:,} are learnt from, drawn at random: more would not fit into --minutes")
    rows = np.sort(np.random.default_rng(0).permutation(len(images))[:most])
    labels = None if images.labels is None else images.labels[rows]
    return dataclasses.replace(images, images=Selection(images.images, rows), labels=labels)
