"""How far scores can be read as probabilities, and what makes them so: expected calibration error, temperature."""

import numpy as np
import torch
import torch.nn.functional as F

from rrzoo.evaluation import probes
from rrzoo.measured import CalibrationBin

PROBE_BINS = 15  # as in Guo et al. 2017
FOLDS = 10  # of few training rows, each held out once: probes of clearly fewer rows are too sure, and mislead
FOLDS_OF_MANY = 3
FEW = 10_000
SHARPEST, FLATTEST = 1e-3, 1e3  # temperatures that `fit_temperature` looks between
HALVINGS = 60  # of that range: to the last digit


def calibration(scores: np.ndarray, positive: np.ndarray, bins: int) -> tuple[float, tuple[CalibrationBin, ...]]:
    """Compare scores with how often they are right.

    The expected calibration error is the mean, over all rows, of the distance between mean score and share of
    positives of a row's bin; bins are of equal width (Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017,
    arXiv 1706.04599, equation 3).

    Args:
        scores: float (N,), 0 to 1.
        positive: bool (N,).
        bins: their number.

    Returns:
        the error, 0 to 1, and the bins that hold rows.
    """
    numbers = np.minimum((scores * bins).astype(np.int64), bins - 1)  # a score of 1 belongs to the last bin
    members = [numbers == number for number in range(bins)]
    filled = tuple(
        CalibrationBin(int(m.sum()), float(scores[m].mean()), float(positive[m].mean())) for m in members if m.any()
    )
    return sum(one.pairs * abs(one.mean_score - one.positive) for one in filled) / len(scores), filled


def probe_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error of a classifier's first guesses, 0 to 1: 15 bins of their probability.

    Args:
        logits: float (N, C).
        labels: int (N,).
    """
    probabilities = F.softmax(torch.from_numpy(logits).double(), dim=1).numpy()
    return calibration(probabilities.max(1), probabilities.argmax(1) == labels, PROBE_BINS)[0]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T whose softmax(logits / T) has the smallest mean negative log-likelihood.

    The loss is convex in 1 / T (Guo et al. 2017, arXiv 1706.04599, section 4.2), so halving the range of its slope's
    sign finds the minimum. Where all logits are right, none is too sharp: the least allowed, 0.001, comes back.

    Args:
        logits: float (N, C), of rows that nothing was fitted to.
        labels: int (N,).
    """
    z = torch.from_numpy(logits).double()
    of_truth = z.gather(1, torch.from_numpy(labels)[:, None]).mean()
    low, high = np.log(1 / FLATTEST), np.log(1 / SHARPEST)  # of log(1 / T)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = (F.softmax(z * np.exp(middle), dim=1) * z).sum(1).mean() - of_truth
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-high))


def held_out_logits(features: np.ndarray, labels: np.ndarray, l2: float) -> np.ndarray:
    """Return each row's logits by a probe that was not fitted to it, float32 (N, C).

    Rows are held out in ten folds; more than 10,000 of them in three, which change a probe less.

    Args:
        features: float (N, F).
        labels: int (N,), 0 to C - 1.
        l2: the probe's regulariser.
    """
    classes = int(labels.max()) + 1
    logits = np.empty((len(features), classes), np.float32)
    order = np.random.default_rng(0).permutation(len(features))
    for held in np.array_split(order, min(FOLDS if len(order) <= FEW else FOLDS_OF_MANY, len(order))):
        kept = np.setdiff1d(order, held)
        weight, bias = probes.fit_linear_probe(features[kept], labels[kept], classes, l2=l2)
        logits[held] = features[held] @ weight.T + bias
    return logits
