"""Calibration error and temperature against definitions."""

import numpy as np
import pytest

from rrzoo.evaluation import calibration, probes
from rrzoo.measured import CalibrationBin


def test_calibration_in_closed_form() -> None:
    """8 pairs at 0.75, 2 of them positive: |0.75 - 0.25|; 4 at 0.125, 1 positive: |0.125 - 0.25|; 4 at 1, all: 0."""
    scores = np.repeat([0.75, 0.125, 1.0], [8, 4, 4])
    positive = np.concatenate([np.arange(8) < 2, np.arange(4) < 1, np.ones(4, bool)])
    error, bins = calibration.calibration(scores, positive, 10)
    assert error == pytest.approx((8 * 0.5 + 4 * 0.125) / 16)
    assert bins == (CalibrationBin(4, 0.125, 0.25), CalibrationBin(8, 0.75, 0.25), CalibrationBin(4, 1.0, 1.0))


def test_scores_that_are_probabilities_are_calibrated(random: np.random.Generator) -> None:
    scores = random.random(200_000)
    positive = random.random(200_000) < scores
    assert calibration.calibration(scores, positive, 10)[0] < 0.01
    overconfident = np.where(scores < 0.5, scores / 2, (1 + scores) / 2)  # mean distance: 1/8
    assert calibration.calibration(overconfident, positive, 10)[0] == pytest.approx(0.125, abs=0.01)


def probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(1, keepdims=True)
    return shares


def guesses(random: np.random.Generator, rows: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are `temperature` times too large, and labels that are drawn as the true ones say."""
    logits = 2 * random.normal(size=(rows, 5))
    labels = np.array([random.choice(5, p=row) for row in probabilities(logits)])
    return (temperature * logits).astype(np.float32), labels


def test_probe_error_equals_sorting_guesses_into_bins(random: np.random.Generator) -> None:
    logits, labels = guesses(random, 700, 3)
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(probabilities(logits.astype(np.float64)), labels, strict=True):
        bins[min(14, int(15 * row.max()))].append((row.max(), row.argmax() == label))
    error = 0.0
    for members in bins:
        if members:
            confidence, right = np.mean([c for c, _ in members]), np.mean([r for _, r in members])
            error += len(members) / 700 * abs(confidence - right)
    assert calibration.probe_error(logits, labels) == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_is_the_one_that_a_search_through_all_finds(
    random: np.random.Generator, temperature: float
) -> None:
    logits, labels = guesses(random, 3_000, temperature)
    tried = np.exp(np.linspace(-3, 3, 601))
    losses = [-np.log(probabilities(logits / t)[np.arange(3_000), labels]).mean() for t in tried]
    found = calibration.fit_temperature(logits, labels)
    assert found == pytest.approx(tried[int(np.argmin(losses))], rel=0.011)  # steps of the search are 1%
    assert found == pytest.approx(temperature, rel=0.1)
    assert calibration.probe_error(logits / np.float32(found), labels) < 0.05


def test_guesses_that_are_all_right_are_not_made_infinite() -> None:
    assert calibration.fit_temperature(np.eye(3, dtype=np.float32), np.arange(3)) == pytest.approx(1e-3)


def test_held_out_rows_were_not_fitted_to(random: np.random.Generator) -> None:
    """Labels that mean nothing can be learnt by heart, in 80 dimensions, and not be guessed."""
    features, labels = random.normal(size=(100, 80)).astype(np.float32), random.integers(0, 2, 100)
    weight, bias = probes.fit_linear_probe(features, labels, 2)
    by_heart = (features @ weight.T + bias).argmax(1) == labels
    held_out = calibration.held_out_logits(features, labels, 1e-5).argmax(1) == labels
    assert by_heart.all()
    assert held_out.mean() < 0.7
    fold = np.array_split(np.random.default_rng(0).permutation(100), 10)[2]
    others = np.setdiff1d(np.arange(100), fold)
    weight, bias = probes.fit_linear_probe(features[others], labels[others], 2)
    assert calibration.held_out_logits(features, labels, 1e-5)[fold] == pytest.approx(features[fold] @ weight.T + bias)
