"""Every pretext task teaches a Conv4 more about clay figures than random weights know."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrzoo import datasets, evaluate, images, train
from rrzoo.backbones import Backbone
from rrzoo.datasets import Dataset
from rrzoo.recipes import Recipe

VIEWS = {"relpos": 9, "jigsaw": 9, "colorization": 4, "counting": 5, "deepcluster": 4, "dim": 4}
EPOCHS = {"relpos": 3, "jigsaw": 3, "colorization": 3, "counting": 3, "deepcluster": 3, "dim": 3}
RECIPE = Recipe("conv4", "clay10", 32, pretext="random", views=1, batch_size=64, epochs=0)


def load(split: str) -> Dataset:
    figures = datasets.load("clay10", split)
    return replace(figures, images=images.to_square(figures.images, 32))


@torch.no_grad()
def features(backbone: Backbone, figures: Dataset) -> np.ndarray:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (figures.mean, figures.std))
    pixels = torch.from_numpy(figures.images).permute(0, 3, 1, 2).float() / 255
    return np.concatenate([backbone((some - mean) / std).numpy() for some in pixels.split(500)])


def accuracy(backbone: Backbone, figures: tuple[Dataset, Dataset]) -> float:
    """Return the accuracy of a probe of 4,000 training figures on 1,000 test figures."""
    fitted, measured = ((features(backbone, split), split.known_labels) for split in figures)
    return evaluate.linear_probe_accuracy(*fitted, *measured, l2=1e-3)


@pytest.fixture(scope="module")
def figures() -> tuple[Dataset, Dataset]:
    return load("train"), load("test")


@pytest.fixture(scope="module")
def random_weights(figures: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory) -> float:
    return accuracy(train.pretrain(RECIPE, figures[0], tmp_path_factory.mktemp("random")).backbone, figures)


@pytest.mark.parametrize("pretext", VIEWS)
def test_it_learns(pretext: str, figures: tuple[Dataset, Dataset], random_weights: float, tmp_path: Path) -> None:
    recipe = replace(RECIPE, pretext=pretext, views=VIEWS[pretext], epochs=EPOCHS[pretext])
    learnt = accuracy(train.pretrain(recipe, figures[0], tmp_path / "run").backbone, figures)
    assert learnt > random_weights + 0.02
