"""k-means against loops."""

import numpy as np
import pytest
import torch

from rrzoo.pretext import kmeans


def lloyd(rows: np.ndarray, centres: np.ndarray, iterations: int) -> np.ndarray:
    """Return each row's cluster after some moves of all centres; a centre without rows moves to the farthest row."""
    for _ in range(iterations + 1):
        distance = np.array([[((row - centre) ** 2).sum() for centre in centres] for row in rows])
        nearest = distance.argmin(1)
        far = iter(np.argsort(-distance.min(1), kind="stable"))
        centres = np.stack(
            [rows[nearest == k].mean(0) if (nearest == k).any() else rows[next(far)] for k in range(len(centres))]
        )
    return nearest


@pytest.mark.parametrize("iterations", [0, 1, 3, 50])
def test_against_loops(iterations: int, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "BLOCK", 70)  # several, and a rest
    rows = random.normal(size=(300, 4)).astype(np.float32)
    chosen = torch.randperm(300, generator=torch.Generator().manual_seed(3))[:12].numpy()
    expected = lloyd(rows.astype(np.float64), rows[chosen].astype(np.float64), iterations)
    assert kmeans.cluster(torch.from_numpy(rows), 12, iterations, seed=3).tolist() == expected.tolist()


def test_empty_clusters_begin_anew_at_far_rows() -> None:
    """The first centres are equal rows but for luck; in the end every place has a cluster of its own."""
    places = torch.tensor([[0.0, 0]] * 97 + [[5, 0], [0, 9], [-20, 1]])
    for seed in range(5):
        cluster = kmeans.cluster(places, 4, 20, seed)
        assert len(cluster[:97].unique()) == 1
        assert len(cluster.unique()) == 4


def test_clusters_that_are_apart_are_found_whatever_the_numbers_before(random: np.random.Generator) -> None:
    rows = torch.from_numpy(3 * np.eye(8)[random.integers(0, 5, 300)] + 0.1 * random.normal(size=(300, 8)))
    torch.manual_seed(1)
    one = kmeans.cluster(rows.float(), 20, 20, seed=1)
    torch.manual_seed(2)  # of no consequence
    assert torch.equal(one, kmeans.cluster(rows.float(), 20, 20, seed=1))
    assert not torch.equal(one, kmeans.cluster(rows.float(), 20, 20, seed=2))
