"""What is said of relation scores, against definitions."""

import numpy as np
import pytest
import torch

import rrzoo
import rrzoo.datasets
from rrzoo import images, views
from rrzoo.evaluation import relation_scores


def test_auc_equals_counting_pairs(random: np.random.Generator) -> None:
    positive, negative = random.integers(0, 9, 60) / 8, random.integers(0, 7, 70) / 8  # with ties
    counted = np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative])
    assert relation_scores.auc(positive, negative) == pytest.approx(counted)


def test_pairs_of_views_are_those_described(model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pair by pair, in batches that do not divide the images; the images are larger than the model's."""
    monkeypatch.setattr(relation_scores, "BATCH", 5)
    test = rrzoo.datasets.load("clay10", "test")
    some = rrzoo.datasets.Dataset(**{**vars(test), "images": test.images[:12], "labels": test.require_labels()[:12]})
    positive, negative = relation_scores.view_pair_scores(model, some)
    seen = images.limit_detail(some.images, model.config.architecture.source_size)
    drawn = views.draw(0, 0, np.arange(12), 2, *seen.shape[1:3])
    pixels = torch.from_numpy(seen).permute(0, 3, 1, 2)
    with torch.no_grad():
        size = model.config.architecture.image_size
        features = model(views.apply(pixels, drawn, size, model.mean.flatten(), model.std.flatten())).numpy()
    for one in range(12):
        other = (one - 1) % 12
        for scores, second in ((positive, 12 + one), (negative, 12 + other)):
            expected = model.relate_features(features[[one]], features[[second]])
            assert scores[one] == pytest.approx(expected[0], abs=1e-4)


def test_random_pairs_are_of_different_images(model: rrzoo.Model, random: np.random.Generator) -> None:
    features = np.abs(random.normal(size=(2, 64))).astype(np.float32)
    scores, same = relation_scores.random_pair_scores(model, features, np.array([3, 4]))
    assert not same.any()  # of two images there is one pair, in either order
    assert scores == pytest.approx(np.full(len(scores), model.relate_features(*features[:, None])[0]), abs=1e-6)


def test_rescoring_pairs_queries_with_their_hits(model: rrzoo.Model, random: np.random.Generator) -> None:
    features = np.abs(random.normal(size=(6, 64))).astype(np.float32)
    hits = np.array([[1, 2, 5], [0, 3, 1]])
    scores = relation_scores.rescorer(model, features)(np.array([0, 4]), hits)
    for row, query in enumerate((0, 4)):
        for column in range(3):
            expected = model.relate_features(features[[query]], features[hits[row, column]][None])
            assert scores[row, column] == pytest.approx(expected[0], abs=1e-6)
