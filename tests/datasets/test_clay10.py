"""clay10's splits, as they ship."""

import numpy as np
import pytest

from rrzoo import datasets


@pytest.mark.parametrize(("split", "per_class"), [("train", 400), ("test", 100)])
def test_labelled_splits_ship(split: str, per_class: int) -> None:
    figures = datasets.load("clay10", split)
    assert figures.images.shape == (10 * per_class, 96, 96, 3)
    assert np.bincount(figures.labels).tolist() == [per_class] * 10


def test_stated_mean_and_deviation() -> None:
    figures = datasets.load("clay10", "train")
    mean, std = datasets.dataset.measure(figures.images)
    assert mean == pytest.approx(figures.mean, abs=1e-3)
    assert std == pytest.approx(figures.std, abs=1e-3)
