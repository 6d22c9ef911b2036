"""What is measured without labels, against its definition written out slowly."""

import math

import numpy as np
import pytest

import rrzoo
from rrzoo import datasets
from rrzoo.evaluation import without_labels


def rows(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    drawn = random.normal(size=(count, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [512, 7])
def test_against_definitions(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(without_labels, "BLOCK", block)
    left = rows(random, 30, 8)
    right = left + random.normal(scale=0.5, size=left.shape).astype(np.float32)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    found = sum(max(range(30), key=lambda other: float(left[one] @ right[other])) == one for one in range(30))
    assert 0 < found < 30
    assert without_labels.half_found(left, right) == pytest.approx(found / 30)
    pairs = [math.exp(-2 * float(((one - two) ** 2).sum())) for i, one in enumerate(left) for two in left[:i]]
    assert without_labels.uniformity(left) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-5)


def test_pictures_that_are_all_alike() -> None:
    same = np.tile(np.float32([[0.6, 0.8]]), (5, 1))
    assert without_labels.half_found(same, same) == 0  # a tie is no find
    assert without_labels.uniformity(same) == pytest.approx(0, abs=1e-6)


def test_halves_share_no_pixel() -> None:
    images = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    left, right = without_labels.halves(images)
    np.testing.assert_array_equal(left, images[:, :, :2])
    np.testing.assert_array_equal(right, images[:, :, 3:])


def test_a_model(model: rrzoo.Model) -> None:
    clay = datasets.load("clay10", "test")
    measured = without_labels.measure(model, datasets.Dataset(**{**vars(clay), "images": clay.images[:60]}))
    assert measured.images == 60
    assert 0.5 < (measured.auc_same_image or 0) < 1
    assert measured.half_found > 2 / 60
    assert measured.uniformity < -0.1
    assert sum(one.pairs for one in measured.calibration) == 120
