"""Retrieval measures against their definitions."""

import numpy as np
import pytest

from rrzoo.retrieval import retrieval


def by_definition(features: np.ndarray, labels: np.ndarray, k: int) -> tuple[float, float]:
    precisions, shares = [], []
    for query in range(len(features)):
        others = [i for i in range(len(features)) if i != query]
        cosine = {i: features[i] @ features[query] / np.linalg.norm(features[i]) for i in others}
        found = [labels[i] == labels[query] for i in sorted(others, key=lambda i: -cosine[i])]
        if any(found):
            precisions.append(np.mean([np.mean(found[: rank + 1]) for rank in range(len(found)) if found[rank]]))
            shares.append(np.mean(found[:k]))
    return float(np.mean(precisions)), float(np.mean(shares))


def test_equals_the_definition(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrzoo.retrieval.BLOCK", 16)  # several blocks, the last one shorter
    labels = np.array([*random.integers(0, 4, 69), 9])  # class 9 has one image: it can't be found
    features = random.normal(size=(70, 5)).astype(np.float32) + np.eye(10, 5, dtype=np.float32)[labels]
    measured = retrieval(features, labels, (7, 70))
    expected_map, expected_precision = by_definition(features, labels, 7)
    assert measured == pytest.approx({"map": expected_map, "precision@7": expected_precision}, abs=1e-6)


def test_a_perfect_ranking_scores_one_and_size_does_not_matter(random: np.random.Generator) -> None:
    labels = np.repeat(np.arange(3), 8)
    features = np.eye(3, dtype=np.float32)[labels] * random.uniform(0.1, 9, (24, 1)).astype(np.float32)
    assert retrieval(features, labels, (7,)) == pytest.approx({"map": 1.0, "precision@7": 1.0})
