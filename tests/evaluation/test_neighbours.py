"""The vote of nearest neighbours against its definition."""

import numpy as np
import pytest

from rrzoo.evaluation import neighbours


def blobs(random: np.random.Generator, rows: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(rows) % 4
    centres = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 3, 3]])
    return (centres[labels] + spread * random.normal(size=(rows, 3))).astype(np.float32), labels


def test_knn_equals_loops(random: np.random.Generator) -> None:
    (train, labels), (test, truth) = blobs(random, 90, 2.0), blobs(random, 40, 2.0)
    right = 0
    for query, label in zip(test, truth, strict=True):
        similarity = [query @ row / np.linalg.norm(query) / np.linalg.norm(row) for row in train]
        votes = np.zeros(4)
        for neighbour in np.argsort(similarity)[::-1][:20]:
            votes[labels[neighbour]] += np.exp(similarity[neighbour] / 0.07)
        right += votes.argmax() == label
    assert neighbours.knn_accuracy(train, labels, test, truth) == pytest.approx(right / 40)
