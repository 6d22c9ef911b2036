"""How long training takes here, from a few steps of it."""

import time

import numpy as np
import torch

from rrzoo import backbones, pretext
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.training.step import TrainStep

STEPS = 3  # that are timed


def seconds_of_step(chosen: Recipe, images: Dataset) -> float:
    """Return how many seconds a step takes here; the first one, which may compile, is left out."""
    with torch.random.fork_rng(devices=[]):
        step = TrainStep(pretext.create(chosen, backbones.create(chosen.backbone), images), images)
        step(0, np.arange(chosen.batch_size))
        begun = time.perf_counter()
        for _ in range(STEPS):
            step(0, np.arange(chosen.batch_size))
    return (time.perf_counter() - begun) / STEPS
