"""How long training takes here, from a few steps of it."""

import time

import numpy as np
import torch

from rrzoo import backbones, devices, pretext
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.training.step import TrainStep

STEPS = 3  # that are timed


def seconds_of_step(chosen: Recipe, images: Dataset, device: Device = devices.CPU) -> float:
    """Return how many seconds a step takes here; the first one, which may compile, is left out."""
    with torch.random.fork_rng(devices=[]):
        task = pretext.create(chosen, backbones.create(chosen.backbone), images)
        step = TrainStep(task, images, device=device)
        step(0, np.arange(chosen.batch_size))[0].item()
        begun = time.perf_counter()
        for _ in range(STEPS):
            loss, _ = step(0, np.arange(chosen.batch_size))
        loss.item()  # a GPU is done only now
    return (time.perf_counter() - begun) / STEPS
