"""t-SNE (van der Maaten & Hinton 2008) as it was first described: all pairs at once, for few pictures.

It needs nothing but NumPy, and is there at once, where PaCMAP compiles for half a minute at first.
"""

import numpy as np

PERPLEXITY = 30.0  # neighbours, about, whose distances count
STEPS, EXAGGERATED = 500, 125  # in all, and at first with attraction made 12 times as strong
EXAGGERATION = 12.0
MOMENTUM = (0.5, 0.8)  # while exaggerated, and then


def positions(unit: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return where N pictures lie, float64 (N, 2); time and memory grow with N^2, 2 s for 500.

    Args:
        unit: float (N, E), rows of unit length; N at least 4.
        seed: of what tells equal pictures apart.
    """
    attraction = _affinities(unit.astype(np.float64))
    y = _start(unit.astype(np.float64), seed)
    step, gains = np.zeros_like(y), np.ones_like(y)
    rate = max(len(y) / EXAGGERATION / 4, 50.0)  # Belkina et al. 2019
    for number in range(STEPS):
        early = number < EXAGGERATED
        weights = 1 / (1 + _squared_distances(y))
        np.fill_diagonal(weights, 0)
        pull = (attraction * (EXAGGERATION if early else 1.0) - weights / weights.sum()) * weights
        gradient = 4 * (pull.sum(1)[:, None] * y - pull @ y)
        gains = np.maximum(np.where(np.sign(gradient) != np.sign(step), gains + 0.2, gains * 0.8), 0.01)
        step = MOMENTUM[not early] * step - rate * gains * gradient
        y += step
        y -= y.mean(0)
    return y


def _start(unit: np.ndarray, seed: int) -> np.ndarray:
    """Return the first two principal components, small, and a little noise."""
    centred = unit - unit.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    y = left[:, :2] * values[:2]
    noise = np.random.default_rng(seed).normal(size=(len(unit), 2))
    start: np.ndarray = 1e-4 * (y / max(y[:, 0].std(), 1e-12) + 0.01 * noise)
    return start


def _affinities(unit: np.ndarray) -> np.ndarray:
    """Return how near every two are, (N, N) with sum 1: Gaussians whose widths give all the same perplexity."""
    distances = _squared_distances(unit)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(1, keepdims=True)
    entropy = np.log(min(PERPLEXITY, (len(unit) - 1) / 3))
    low, high = np.full((len(unit), 1), 1e-3), np.full((len(unit), 1), 1e6)  # of 1 / (2 sigma^2), searched for
    for _ in range(60):
        precision = np.sqrt(low * high)
        with np.errstate(invalid="ignore"):  # infinity times 0, on the diagonal
            exponents = np.where(np.isinf(distances), 0.0, precision * (distances - nearest))
        near = np.where(np.isinf(distances), 0.0, np.exp(-exponents))
        total = near.sum(1, keepdims=True)
        wide = np.log(total) + (near * exponents).sum(1, keepdims=True) / total > entropy
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
    share = near / total
    affinities: np.ndarray = np.maximum((share + share.T) / (2 * len(unit)), 1e-12)
    return affinities


def _squared_distances(points: np.ndarray) -> np.ndarray:
    squares = (points**2).sum(1)
    distances: np.ndarray = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
    return distances
