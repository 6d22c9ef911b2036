"""Fine-tuning learns from labels, repeats, and leaves the model alone."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch

import rrzoo
import rrzoo.datasets
from rrzoo import errors
from rrzoo.evaluation import fine_tuning, probes


@pytest.fixture(scope="module")
def model() -> rrzoo.Model:
    """A model of small images."""
    return rrzoo.load("conv4-cifar10-relation")


def accuracy(model: rrzoo.Model, classifier: torch.nn.Linear, test: rrzoo.datasets.Dataset) -> float:
    weight, bias = classifier.weight.detach().numpy(), classifier.bias.detach().numpy()
    return float(((model.features(test.images) @ weight.T + bias).argmax(1) == test.require_labels()).mean())


@pytest.mark.slow
def test_it_learns_more_than_a_probe_does(model: rrzoo.Model) -> None:
    """Figures, with a backbone that has seen photographs only; 96 px, cut to views of the model's size."""
    train, test = (rrzoo.datasets.load("clay10", split) for split in ("train", "test"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []

    def progress(steps: Iterable[np.ndarray], count: int, images: int) -> Iterable[np.ndarray]:
        seen.extend((count, images))
        return steps

    rows = np.arange(0, len(train), 8)
    tuned, classifier = fine_tuning.fine_tune(model, train, rows, epochs=20, progress=progress)
    probe = probes.linear_probe_accuracy(
        model.features(train.images[rows]),
        train.require_labels()[rows],
        model.features(test.images),
        test.require_labels(),
    )
    assert seen == [20 * (len(rows) // 128), 128]
    assert accuracy(tuned, classifier, test) > probe + 0.04
    assert not tuned.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_it_repeats_and_takes_few_images(model: rrzoo.Model) -> None:
    """30 images are fewer than a step has."""
    train = rrzoo.datasets.load("clay10", "train")
    rows = probes.few_labels(train.require_labels(), 30 / len(train), seed=0)
    first, second, other = (fine_tuning.fine_tune(model, train, rows, 3, seed)[1].weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    with pytest.raises(errors.ArgumentError, match="0 images and 3 epochs"):
        fine_tuning.fine_tune(model, train, rows[:0], 3)


def test_crops_are_of_half_to_all_of_the_area(random: np.random.Generator) -> None:
    drawn = fine_tuning.draw_crops(random, 5000, 40, 30)
    area = drawn.height * drawn.width / 1200
    assert 0.45 < area.min() < 0.55  # whole pixels
    assert area.max() > 0.97
    assert area.mean() == pytest.approx(0.75, abs=0.02)
    for start, length, most in ((drawn.top, drawn.height, 40), (drawn.left, drawn.width, 30)):
        assert start.min() == 0
        assert (start + length).max() == most
        assert (start + length <= most).all()
    assert drawn.flip.mean() == pytest.approx(0.5, abs=0.03)
