"""Classifying by neighbours, against the formula written out."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from conftest import smooth_image
from rrzoo import datasets, errors
from rrzoo.gallery.searching import Hit, vote

FIGURES = datasets.load("clay10", "test")


def slow_vote(similarities: np.ndarray, labels: list[int], classes: int, k: int) -> list[float]:
    """Return the probabilities of Wu et al. 2018, section 3.4: each of the k nearest adds exp(s / 0.07)."""
    nearest = sorted(range(len(labels)), key=lambda row: -similarities[row])[:k]
    votes = [0.0] * classes
    for row in nearest:
        votes[labels[row]] += math.exp(similarities[row] / 0.07)
    return [one / sum(votes) for one in votes]


def test_votes_are_the_formulas(model: rrzoo.Model, random: np.random.Generator) -> None:
    some = replace(FIGURES, images=FIGURES.images[::20], labels=FIGURES.require_labels()[::20])
    gallery = rrzoo.Gallery.build(model, some)
    queries = [smooth_image(random, 40, 40), FIGURES.images[613]]
    similarities = model.embed(queries) @ model.embed(some.images).T
    for k in (1, 20, 1000):
        probabilities = gallery.classify(queries, k)
        assert (probabilities.dtype, probabilities.shape) == (np.float32, (2, 10))
        for row, one in enumerate(gallery.vote(queries, k)):
            expected = slow_vote(similarities[row], some.require_labels().tolist(), 10, k)
            np.testing.assert_allclose(one.probabilities, expected, atol=1e-4)
            np.testing.assert_array_equal(probabilities[row], one.probabilities)
            assert one.label == gallery.classes[int(np.argmax(expected))]
            (hits,) = gallery.search(queries[row], k)
            assert [hit.row for hit in one.neighbours] == [hit.row for hit in hits]
            assert [hit.row for hit in one.speakers] == [hit.row for hit in hits if hit.label == one.label]
    assert gallery.classify([]).shape == (0, 10)


def test_one_near_neighbour_outvotes_several_far_ones() -> None:
    near = Hit(0.9, "cat", None, "1", 1, None)
    far = [Hit(0.5, "dog", None, f"{row}", row, None) for row in range(2, 22)]
    found = vote([near, *far], ("cat", "dog"))
    assert found.label == "cat"
    assert found.probabilities[0] == pytest.approx(1 / (1 + 20 * math.exp(-0.4 / 0.07)), abs=1e-6)
    assert found.speakers == [near]


def test_only_images_with_a_label_vote(model: rrzoo.Model, random: np.random.Generator) -> None:
    pictures = [smooth_image(random, 30, 30) for _ in range(12)]
    gallery = rrzoo.Gallery.from_images(model, pictures, [None] * 9 + ["a", "b", "b"])
    (one,) = gallery.vote(pictures[0], 2)
    assert len(one.neighbours) == 2
    assert {hit.label for hit in one.neighbours} <= {"a", "b"}
    (every,) = gallery.vote(pictures[0])
    assert sorted(hit.row for hit in every.neighbours) == [9, 10, 11]


def test_what_can_not_vote(model: rrzoo.Model, tmp_path: Path, random: np.random.Generator) -> None:
    picture = smooth_image(random, 30, 30)
    with pytest.raises(errors.ArgumentError, match="no image of the gallery has a label: index a data set"):
        rrzoo.Gallery.from_images(model, [picture]).classify(picture)
    with pytest.raises(errors.ArgumentError, match="k is 0"):
        rrzoo.Gallery.from_images(model, [picture], ["a"]).classify(picture, 0)
