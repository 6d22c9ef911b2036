"""A visitor's pictures are sharper than what models learn from: real photographs, and the same ones made less sharp."""

from dataclasses import replace

import numpy as np
import pytest

import rrzoo
from conftest import REAL_DATA, need
from rrzoo import datasets
from rrzoo.evaluation import own_probe
from rrzoo.images import to_square

LEARNT_FROM = 32  # px, side of CIFAR-10's images


@pytest.fixture(scope="module")
def photographs() -> datasets.Dataset:
    """STL-10's 5,000 of the training split: by the test split nothing may be chosen."""
    need((REAL_DATA / "stl10").is_dir(), f"STL-10's labelled images in {REAL_DATA}/stl10")
    return datasets.load("stl10", "train", REAL_DATA)


def accuracy(model: rrzoo.Model, images: np.ndarray, photographs: datasets.Dataset) -> float:
    answers = model.classify(images).argmax(1)
    found = own_probe.elsewhere(model, replace(photographs, images=images), answers)
    assert found is not None
    assert len(found.class_accuracy) == 9
    return found.accuracy


@pytest.mark.parametrize("name", ["conv4-cifar10", "conv4x4-cifar10"])
def test_sharp_photographs_are_named_as_well_as_blurred_ones(photographs: datasets.Dataset, name: str) -> None:
    """Blurred to the resolution of what was learnt from. Reduced by a bicubic filter, sharp ones are named worse."""
    model = rrzoo.load(name)
    sharp = np.asarray(photographs.images[:])
    blurred = to_square(to_square(sharp, LEARNT_FROM), sharp.shape[1])
    assert accuracy(model, sharp, photographs) >= accuracy(model, blurred, photographs) - 0.005
    assert accuracy(model, sharp, photographs) > 0.53
