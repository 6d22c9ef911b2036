"""Every pretext task is learnt within seconds, and teaches the backbone more than random weights know."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrzoo import backbones, datasets, images, training
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.evaluation import probes
from rrzoo.training import run_log

RECIPE = Recipe("conv4", "clay10", 32, batch_size=64, learning_rate=3e-3, loss="bce")

Figures = Callable[[int, int], tuple[Dataset, Dataset]]


@pytest.fixture(scope="module")
def figures() -> Figures:
    """Return one in `step` of 4,000 training figures, and 1,000 test figures, of a size in px."""

    def load(side: int, step: int) -> tuple[Dataset, Dataset]:
        fitted, measured = (datasets.load("clay10", split) for split in ("train", "test"))
        fitted = replace(fitted, images=fitted.images[::step], labels=fitted.require_labels()[::step])
        fitted, measured = (replace(one, images=images.to_square(one.images, side)) for one in (fitted, measured))
        return fitted, measured

    return functools.cache(load)


@pytest.fixture(scope="module")
def random_weights(figures: Figures) -> Callable[[int, int], float]:
    """Return the accuracy that random weights reach on these figures."""

    def measure(side: int, step: int) -> float:
        torch.manual_seed(RECIPE.seed)
        return accuracy(backbones.create(RECIPE.backbone).eval(), figures(side, step))

    return functools.cache(measure)


@torch.no_grad()
def features(backbone: Backbone, figures: Dataset) -> np.ndarray:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (figures.mean, figures.std))
    pixels = torch.from_numpy(figures.images).permute(0, 3, 1, 2)
    return np.concatenate([backbone((some.float() / 255 - mean) / std).numpy() for some in pixels.split(500)])


def accuracy(backbone: Backbone, figures: tuple[Dataset, Dataset]) -> float:
    """Return the accuracy of a probe fitted to the training figures on the test figures."""
    fitted, measured = ((features(backbone, split), split.require_labels()) for split in figures)
    return probes.linear_probe_accuracy(*fitted, *measured, l2=1e-3)


MUON = {"optimizer": "muon", "learning_rate": 0.02}
PACE: dict[str, tuple[int, dict[str, object]]] = {  # one figure in how many, and what the recipe changes
    "relation": (2, {"views": 4, "batch_size": 32, "epochs": 6, "decay_start": 0.5}),
    "simclr": (2, {"views": 2, "batch_size": 128, "epochs": 10, "decay_start": 0.5}),
    "rotation": (2, {"views": 4, "epochs": 6, "decay_start": 0.5}),
    "jigsaw": (2, {"views": 9, "epochs": 4}),
    "counting": (1, {"views": 5, "epochs": 5, "decay_start": 0.3, **MUON}),
    "colorization": (4, {"views": 1, "batch_size": 16, "epochs": 3}),
    "dim": (2, {"views": 1, "batch_size": 32, "epochs": 5, **MUON}),
    "deepcluster": (1, {"views": 2, "batch_size": 16, "epochs": 4, **MUON}),
    "supervised": (2, {"views": 1, "batch_size": 128, "epochs": 8, "decay_start": 0.5}),
    # patches of small images hold too little: at 32 px, the probe stays where random weights are
    "relpos": (4, {"views": 9, "image_size": 64, "epochs": 5}),
}
# what the last epoch's log shows, and what chance would: shares told right, but for the fall of the loss
LEARNT = {
    "relation": ("accuracy_positive", 0.6, 0.5),
    "simclr": ("accuracy", 0.02, 1 / 255),
    "rotation": ("accuracy", 0.4, 1 / 4),
    "jigsaw": ("accuracy", 0.05, 1 / 100),
    "dim": ("accuracy", 0.3, 1 / 497),
    "deepcluster": ("accuracy", 0.03, 1 / 100),
    "supervised": ("accuracy", 0.2, 1 / 10),
    "relpos": ("accuracy", 0.2, 1 / 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("tag", PACE)
def test_it_is_learnt_and_beats_random_weights(
    tag: str, figures: Figures, random_weights: Callable[[int, int], float], tmp_path: Path
) -> None:
    step, changes = PACE[tag]
    recipe = replace(RECIPE, pretext=tag, **changes)
    shown = figures(recipe.image_size, step)
    learnt = training.pretrain(recipe, shown[0], tmp_path).backbone
    records = [json.loads(line) for line in (tmp_path / run_log.LOG).read_text().splitlines()]
    first, *_, last = (record for record in records if record["event"] == "epoch")
    assert last["loss"] < first["loss"]
    if tag in LEARNT:
        figure, least, chance = LEARNT[tag]
        assert last[figure] > least > chance
    if tag == "colorization":
        assert last["loss"] < first["loss"] - 0.1
        assert last["loss"] < 5.0  # of guessing alike among 261 bins: 5.6
    assert accuracy(learnt, shown) > random_weights(recipe.image_size, step) + 0.01
