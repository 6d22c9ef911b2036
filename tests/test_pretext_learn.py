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
STEPS = 30


@pytest.fixture(scope="module")
def figures() -> Dataset:
    """All 1,000 test figures at 32 px."""
    split = datasets.load("clay10", "test")
    return replace(split, images=images.to_square(split.images, 32))


@torch.no_grad()
def accuracy(backbone: Backbone, figures: Dataset) -> float:
    """Return the accuracy of a probe of every other figure's features on the rest."""
    pixels = torch.from_numpy(figures.images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (figures.mean, figures.std))
    features = backbone.eval()((pixels - mean) / std).numpy()
    labels = figures.known_labels
    return evaluate.linear_probe_accuracy(features[::2], labels[::2], features[1::2], labels[1::2], l2=1e-3)


@pytest.mark.parametrize("pretext", VIEWS)
def test_it_learns(pretext: str, figures: Dataset, tmp_path: Path) -> None:
    recipe = Recipe("conv4", "clay10", 32, pretext=pretext, views=VIEWS[pretext], batch_size=64, epochs=1)
    random = train.pretrain(replace(recipe, pretext="random", epochs=0), figures, tmp_path / "random")
