"""DeepCluster and Deep InfoMax against closed forms and naive loops."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_patches import task

from conftest import smooth_image
from rrzoo import errors
from rrzoo.datasets import Dataset
from rrzoo.pretext import deep_infomax, deepcluster


def test_whitening(random: np.random.Generator) -> None:
    rows = (random.normal(size=(500, 6)) @ random.normal(size=(6, 6)) + 3).astype(np.float32)
    rows = np.hstack([rows, np.zeros((500, 1), np.float32), rows[:, :1]])  # a unit that never fires, and a copy
    white = deepcluster.whiten(torch.from_numpy(rows)).numpy()
    assert white.shape == (500, 6)
    assert np.linalg.norm(white, axis=1) == pytest.approx(np.ones(500), rel=1e-5)
    centred = rows - rows.mean(0)
    mahalanobis = np.sqrt(np.einsum("nd,de,ne->n", centred, np.linalg.pinv(np.cov(rows.T, bias=True), 1e-5), centred))
    cosine = (centred @ np.linalg.pinv(np.cov(rows.T, bias=True), 1e-5) @ centred.T) / np.outer(
        mahalanobis, mahalanobis
    )
    assert np.allclose(white @ white.T, cosine, atol=1e-3)


def test_fewer_images_than_clusters_are_refused() -> None:
    with pytest.raises(errors.DatasetError, match="none has 16 images: DeepCluster needs at least 100"):
        task("deepcluster", 2)


def test_clusters_weigh_alike_and_begin_anew(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepcluster, "CLUSTERS", 4)
    made, batch = task("deepcluster", 2)
    images = np.stack([smooth_image(random, 32, 32) for _ in range(16)])
    dataset = Dataset("n", "train", images, None, ("x",), (0.5,) * 3, (0.2,) * 3, "chosen", "synthetic", "none")
    before = {name: value.clone() for name, value in made.backbone.state_dict().items()}
    made.start_epoch(2, dataset)
    assert made.backbone.training
    assert all(torch.equal(value, before[name]) for name, value in made.backbone.state_dict().items())
    clusters, weight = made.clusters.clone(), made.classifier.weight.detach().clone()
    assert len(clusters.unique()) > 1
    features = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    loss, _ = made.loss(features, batch)
    sizes = [int((clusters == k).sum()) for k in range(4)]
    total = 0.0
    for row in range(32):  # two views of each of 16 images
        cluster = clusters[batch.indices[row % 16]]
        total += F.cross_entropy(made.classifier(features[row]), cluster).item() * 16 / (4 * sizes[cluster])
    assert loss.item() == pytest.approx(total / 32, rel=1e-5)

    made.start_epoch(3, dataset)
    assert not torch.equal(made.classifier.weight, weight)
    made.start_epoch(2, dataset)  # as a resumed run does
    assert torch.equal(made.classifier.weight, weight)
    assert torch.equal(made.clusters, clusters)


def test_own_and_other_places_against_loops() -> None:
    scores = torch.randn(2, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    own, other = deep_infomax.split(scores)
    assert own.shape == (2, 5, 3)
    assert other.shape == (2, 5, 4, 3)
    for k, i, p in itertools.product(range(2), range(5), range(3)):
        assert own[k, i, p] == scores[k, i, i, p]
        assert sorted(other[k, i, :, p].tolist()) == sorted(scores[k, i, j, p].item() for j in range(5) if j != i)


def test_info_nce_against_loops() -> None:
    assert deep_infomax.info_nce(torch.zeros(1, 3, 4), torch.zeros(1, 3, 2, 4)).item() == pytest.approx(
        np.log(1 + 2 * 4)
    )
    scores = 3 * torch.randn(2, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for k, i, p in itertools.product(range(2), range(5), range(3)):
        against = [scores[k, i, j, q].exp() for j in range(5) if j != i for q in range(3)]
        own = scores[k, i, i, p].exp()
        total -= torch.log(own / (own + sum(against))).item()
    assert deep_infomax.info_nce(*deep_infomax.split(scores)).item() == pytest.approx(total / 30, rel=1e-5)


def test_deep_infomax_pairs_summaries_with_places() -> None:
    made, batch = task("dim", 2)
    maps = torch.rand(32, 64, 4, 4, generator=torch.Generator().manual_seed(0))
    loss, _ = made.loss(maps, batch)
    scores = torch.zeros(2, 16, 16, 16)
    for view, i, j in itertools.product(range(2), range(16), range(16)):
        summary = made.of_summaries(maps[16 * view + i].mean((1, 2)))
        places = made.of_places(maps[16 * view + j].flatten(1).T)
        scores[view, i, j] = places @ summary
    assert loss.item() == pytest.approx(deep_infomax.info_nce(*deep_infomax.split(scores)).item(), rel=1e-4)
