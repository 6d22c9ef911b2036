"""Every pretext task is learnt within seconds, and those that are quick teach more than random weights know."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrzoo import datasets, evaluate, images, train
from rrzoo.backbones import Backbone
from rrzoo.datasets import Dataset
from rrzoo.recipes import Recipe

VIEWS = {"relpos": 9, "jigsaw": 9, "colorization": 1, "counting": 5, "deepcluster": 2, "dim": 1}
RECIPE = Recipe("conv4", "clay10", 32, pretext="random", views=1, batch_size=64, epochs=0, learning_rate=3e-3)


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


@pytest.mark.parametrize("pretext", ["jigsaw", "counting"])
def test_it_beats_random_weights(
    pretext: str, figures: tuple[Dataset, Dataset], random_weights: float, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, pretext=pretext, views=VIEWS[pretext], epochs=3)
    learnt = accuracy(train.pretrain(recipe, figures[0], tmp_path / "run").backbone, figures)
    assert learnt > random_weights + 0.01


@pytest.mark.parametrize(
    ("pretext", "least"),  # share told right, by the end of the second epoch, and by chance
    [("relpos", 0.2), ("dim", 0.1), ("deepcluster", 0.03)],  # 1 in 8; 1 in 1,009; 1 in 100
)
def test_it_is_told_right(pretext: str, least: float, figures: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    recipe = replace(RECIPE, pretext=pretext, views=VIEWS[pretext], batch_size=64, epochs=2)
    train.pretrain(recipe, figures[0], tmp_path)
    last = json.loads((tmp_path / train.LOG).read_text().splitlines()[-1])
    assert last["accuracy"] > least


def test_colours_are_learnt(figures: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    train.pretrain(replace(RECIPE, pretext="colorization", batch_size=32, epochs=2), figures[0], tmp_path)
    first, last = (json.loads(line) for line in (tmp_path / train.LOG).read_text().splitlines()[-2:])
    assert last["loss"] < first["loss"] - 0.1
    assert last["loss"] < 5.0  # of guessing alike among 261 bins: 5.6
