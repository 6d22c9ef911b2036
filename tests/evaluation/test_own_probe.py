"""What is said of a model's own probe, against counting by hand."""

from dataclasses import replace

import numpy as np
import pytest

import rrzoo
from rrzoo import datasets
from rrzoo.evaluation import own_probe


@pytest.fixture
def model() -> rrzoo.Model:
    return rrzoo.load("conv4-cifar10-relation")


def test_recall_and_precision_equal_counting(random: np.random.Generator) -> None:
    """The precision of as many images of each class is the plain one of images that are repeated until that is so."""
    labels = np.repeat(np.arange(3), [10, 20, 40])
    answers = random.integers(0, 3, 70)
    rows = np.repeat(np.arange(70), np.repeat([4, 2, 1], [10, 20, 40]))  # 40 of each class
    recall = own_probe.recall(answers, labels, 3)
    precision = own_probe.precision(answers, labels, 3)
    for one in range(3):
        assert recall[one] == pytest.approx((answers[labels == one] == one).mean())
        assert precision[one] == pytest.approx((labels[rows][answers[rows] == one] == one).mean())


def test_an_answer_that_is_never_given_has_no_precision() -> None:
    labels, answers = np.array([0, 1, 2]), np.array([0, 0, 2])
    assert own_probe.precision(answers, labels, 3) == (0.5, None, 1.0)
    assert own_probe.recall(answers, labels, 3) == (1.0, 0.0, 1.0)


def test_nothing_is_said_where_a_class_has_no_image() -> None:
    assert own_probe.recall(np.array([0, 1]), np.array([0, 1]), 3) == ()
    assert own_probe.precision(np.array([0, 1]), np.array([0, 1]), 3) == ()


def test_logits_are_those_of_classify(model: rrzoo.Model) -> None:
    images = datasets.load("clay10", "test").images[:20]
    logits = model.probe_logits(model.extract(images).pooled)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    assert powers / powers.sum(1, keepdims=True) == pytest.approx(model.classify(images), abs=1e-5)


def test_elsewhere_counts_the_classes_in_common(model: rrzoo.Model) -> None:
    """Clay figures, as STL-10, have a car where CIFAR-10 has an automobile, and a monkey where it has a frog."""
    clay = datasets.load("clay10", "test")
    cars, monkeys = (clay.require_labels() == clay.classes.index(name) for name in ("car", "monkey"))
    answers = np.where(cars, model.classes.index("automobile"), model.classes.index("cat"))
    found = own_probe.elsewhere(model, clay, answers)
    assert found is not None
    assert set(found.class_accuracy) == set(model.classes) - {"frog"}
    assert [name for name, right in found.class_accuracy.items() if right] == ["automobile", "cat"]
    assert found.accuracy == pytest.approx(2 / 9)
    assert found.images == len(clay) - monkeys.sum()


def test_nothing_is_measured_elsewhere_of_other_classes(model: rrzoo.Model) -> None:
    clay = replace(datasets.load("clay10", "test"), classes=tuple("abcdefghij"))
    assert own_probe.elsewhere(model, clay, np.zeros(len(clay), np.int64)) is None
