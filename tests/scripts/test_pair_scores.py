"""Scores of pairs against their definitions, and that the comparison runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import MultivariateNormal

import pair_metrics
import pair_scores
from conftest import smooth_image
from rrzoo.evaluation.retrieval import reranked_retrieval


@pytest.fixture
def views(random: np.random.Generator) -> np.ndarray:
    """Views of 400 pictures: normal between pictures, normal within them, correlated, not centred."""
    pictures = random.normal(size=(400, 5)) @ random.normal(size=(5, 5)) * 2
    noise = random.normal(size=(4, 400, 5)) @ random.normal(size=(5, 5))
    return (3 + pictures + noise).astype(np.float32)


def test_views_of_one_picture_vary_alike_in_all_directions(views: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_metrics, "SHRINKAGE", 0.0)
    space = pair_metrics.Instances.of(views)
    inside = np.stack([space(view) for view in views])
    apart = (inside - inside.mean(0)).reshape(-1, 5)
    np.testing.assert_allclose(apart.T @ apart / (3 * 400), np.eye(5), atol=1e-3)
    np.testing.assert_allclose(np.cov(inside.mean(0).T), np.diag(space.between + 1 / 4), atol=1e-2)


def test_likelihood_ratio_is_of_its_densities(views: np.ndarray) -> None:
    space, score = pair_metrics.Instances.of(views), pair_metrics.likelihood_ratio(views)
    left, right = views[0, :6], views[1, :4]
    b, total = (np.diag(variance) for variance in (space.between, space.between + 1))
    both = torch.from_numpy(np.block([[total, b], [b, total]])).double()
    pair = MultivariateNormal(torch.zeros(10).double(), both)
    one = MultivariateNormal(torch.zeros(5).double(), torch.from_numpy(total).double())
    x, y = (torch.from_numpy(space(side)).double() for side in (left, right))
    expected = [[float(pair.log_prob(torch.cat([p, q])) - one.log_prob(p) - one.log_prob(q)) for q in y] for p in x]
    np.testing.assert_allclose(score(left, right), expected, rtol=1e-3, atol=1e-3)


def test_every_metric_finds_views_of_one_picture(views: np.ndarray) -> None:
    for name, fit in pair_metrics.METRICS.items():
        scores = fit(views[:, :300])(views[0, 300:], views[1, 300:])
        assert scores.shape == (100, 100)
        assert (scores.diagonal()[:, None] > scores).mean() > 0.85, name


def test_a_logistic_curve_makes_probabilities(views: np.ndarray) -> None:
    score = pair_metrics.centred(views)
    slope, intercept = pair_scores.logistic(score, views)
    pairs = score(views[1], views[3])
    logits = slope * np.concatenate([pairs.diagonal(), np.roll(pairs, 1, 1).diagonal()]) + intercept
    assert slope > 0
    calibrated = pair_scores.error(logits)
    assert calibrated < 0.1
    assert calibrated < min(pair_scores.error(logits / 4), pair_scores.error(4 * logits))


def test_rankings_are_those_of_retrieval(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_scores, "RERANKED", 7)
    features, labels = random.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 4
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    then = random.normal(size=(40, 40))
    plain, again = reranked_retrieval(features, labels, lambda rows, hits: then[rows[:, None], hits], 7, (10,))
    for expected, found in (
        (plain, pair_scores.ranked(unit @ unit.T, labels)),
        (again, pair_scores.ranked(unit @ unit.T, labels, then)),
    ):
        assert list(found.values()) == pytest.approx([expected["map"], expected["precision@10"]], abs=1e-5)


@pytest.mark.slow
def test_all_is_compared(
    few_figures: None, tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HELD_OUT": 40, "ALTERED": 10, "PICTURES": (50,), "SEEDS": 1}.items():
        monkeypatch.setattr(pair_scores, name, value)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(smooth_image(random, 90, 120 + number)).save(tmp_path / "photos" / f"{number}.png")
    pair_scores.compare("conv4-cifar10", "clay10", tmp_path, 60, tmp_path / "photos")
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    metrics = [*pair_metrics.METRICS, "relation head"]
    for test in ("clay10", "photographs"):
        for count in (50, 60):
            found = [row for row in rows if row["data"] == test and row["pictures"] == count]
            assert [row["metric"] for row in found if "altered" in row] == metrics
    centred = next(row for row in rows if row["metric"] == "cosine, centred")
    assert centred["altered"] > 0.6
    assert 0 <= centred["ECE, views"] < 0.5
    assert "same class" in centred
