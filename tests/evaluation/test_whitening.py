"""Whitening: what is projected, against its definition."""

import numpy as np
import pytest

from rrzoo import errors
from rrzoo.evaluation import whitening


@pytest.fixture
def features(random: np.random.Generator) -> np.ndarray:
    """500 rows of 12 features that depend on one another, far from 0."""
    mixed = random.normal(size=(500, 12)) @ random.normal(size=(12, 12)) * np.logspace(0, 1.5, 12)
    return (mixed + random.uniform(5, 10, 12)).astype(np.float32)


@pytest.mark.parametrize("size", [12, 5, 1])
def test_without_attenuation_what_is_fitted_has_the_identity_as_covariance(features: np.ndarray, size: int) -> None:
    weight, bias = whitening.fit(features, size, attenuation=1)
    assert (weight.shape, weight.dtype, bias.shape, bias.dtype) == ((size, 12), np.float32, (size,), np.float32)
    projected = features.astype(np.float64) @ weight.T.astype(np.float64) + bias
    np.testing.assert_allclose(projected.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(projected.T @ projected / len(projected), np.eye(size), atol=1e-3)


def test_attenuation_leaves_directions_a_part_of_their_variance(features: np.ndarray) -> None:
    weight, bias = whitening.fit(features, 7, 0.4)
    values = np.sort(np.linalg.eigvalsh(np.cov(features.T, bias=True)))[:4:-1]
    projected = features.astype(np.float64) @ weight.T.astype(np.float64) + bias
    np.testing.assert_allclose(np.cov(projected.T, bias=True), np.diag(values**0.6), rtol=1e-3, atol=1e-3)


def test_few_rows_have_few_directions_and_nothing_beyond(features: np.ndarray) -> None:
    weight, bias = whitening.fit(features[:8], 12)
    fewer, fewer_bias = whitening.fit(features[:8], 7)
    np.testing.assert_array_equal(weight[:7], fewer)
    np.testing.assert_array_equal(bias[:7], fewer_bias)
    assert not weight[7:].any()
    assert not bias[7:].any()


def test_what_looks_alike_is_refused() -> None:
    with pytest.raises(errors.ArgumentError, match="all 5 look alike"):
        whitening.fit(np.ones((5, 3), np.float32), 1)
