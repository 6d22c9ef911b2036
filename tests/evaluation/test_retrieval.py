"""Retrieval measures against their definitions."""

import numpy as np
import pytest

from rrzoo.evaluation.retrieval import reranked_retrieval, retrieval


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
    monkeypatch.setattr("rrzoo.evaluation.retrieval.BLOCK", 16)  # several blocks, the last one shorter
    labels = np.array([*random.integers(0, 4, 69), 9])  # class 9 has one image: it can't be found
    features = random.normal(size=(70, 5)).astype(np.float32) + np.eye(10, 5, dtype=np.float32)[labels]
    measured = retrieval(features, labels, (7, 70))
    expected_map, expected_precision = by_definition(features, labels, 7)
    assert measured == pytest.approx({"map": expected_map, "precision@7": expected_precision}, abs=1e-6)


def test_a_perfect_ranking_scores_one_and_size_does_not_matter(random: np.random.Generator) -> None:
    labels = np.repeat(np.arange(3), 8)
    features = np.eye(3, dtype=np.float32)[labels] * random.uniform(0.1, 9, (24, 1)).astype(np.float32)
    assert retrieval(features, labels, (7,)) == pytest.approx({"map": 1.0, "precision@7": 1.0})


def test_reranking_equals_the_definition(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 8 hits by another score, those of one score in the order of cosine; the rest as it was."""
    monkeypatch.setattr("rrzoo.evaluation.retrieval.BLOCK", 16)
    labels = np.array([*random.integers(0, 3, 49), 9])
    features = random.normal(size=(50, 4)).astype(np.float32) + np.eye(10, 4, dtype=np.float32)[labels]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    scores = random.integers(0, 4, (50, 50)) / 4 + (labels == labels[:, None])  # many ties, and of use

    precisions, shares = [], []
    for query in range(49):  # class 9 has one image
        order = sorted((i for i in range(50) if i != query), key=lambda i: -(unit[i] @ unit[query]))
        order[:8] = sorted(order[:8], key=lambda i: -scores[query, i])  # sorted keeps the order of ties
        found = [labels[i] == labels[query] for i in order]
        precisions.append(np.mean([np.mean(found[: rank + 1]) for rank in range(49) if found[rank]]))
        shares.append(np.mean(found[:5]))
    plain, anew = reranked_retrieval(features, labels, lambda rows, hits: scores[rows[:, None], hits], 8, (5,))
    assert plain == retrieval(features, labels, (5,))
    assert anew == pytest.approx({"map": np.mean(precisions), "precision@5": np.mean(shares)}, abs=1e-6)
    assert anew["map"] > plain["map"]
