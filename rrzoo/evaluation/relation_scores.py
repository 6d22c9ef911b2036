"""How far the relation head's scores can be trusted: AUC, calibration, and what they add to a search."""

from collections.abc import Callable

import numpy as np
import torch

from rrzoo import views
from rrzoo.datasets import Dataset
from rrzoo.evaluation.calibration import calibration
from rrzoo.images import limit_detail
from rrzoo.measured import CalibrationBin, RelationQuality
from rrzoo.model import Model

PAIRS = 20_000  # random pairs of images
BINS = 10  # of the calibration curve
BATCH = 256  # images whose views are made at once


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counting half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))


def random_pair_scores(model: Model, features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score random pairs of different images.

    Args:
        model: with a relation head.
        features: float (N, D), N at least 2.
        labels: int (N,).

    Returns:
        scores, float32 (20000,), 0 to 1, and whether a pair is of one class, bool (20000,).
    """
    random = np.random.default_rng(0)
    left = random.integers(0, len(features), PAIRS)
    right = (left + random.integers(1, len(features), PAIRS)) % len(features)
    return model.relate_features(features[left], features[right]), labels[left] == labels[right]


@torch.no_grad()
def view_pair_scores(model: Model, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Score pairs of fresh random views, each image's first view with its own second, and with the next image's.

    Args:
        model: with a relation head.
        test: N images of one size, N at least 2.

    Returns:
        scores of the positive and of the negative pairs, float32 (N,) each, 0 to 1.
    """
    architecture = model.config.architecture
    mean, std = model.mean.flatten().float(), model.std.flatten().float()
    first, second = [], []
    for start in range(0, len(test), BATCH):
        rows = np.arange(start, min(start + BATCH, len(test)))
        images = limit_detail(test.images[rows], architecture.source_size)
        drawn = views.draw(0, 0, rows, 2, *images.shape[1:3])
        pixels = torch.from_numpy(images).to(mean.device).permute(0, 3, 1, 2)
        made = views.make(pixels, drawn, architecture.image_size, mean, std)
        one, two = torch.cat([model(part) for part in torch.split(made, model.batch_size)]).chunk(2)
        first.append(one.cpu().numpy())
        second.append(two.cpu().numpy())
    left, right = np.concatenate(first), np.concatenate(second)
    return model.relate_features(left, right), model.relate_features(left, np.roll(right, 1, axis=0))


def measure(model: Model, test: Dataset, features: np.ndarray) -> RelationQuality:
    """Measure the relation head on a test split, given its features, float (N, D)."""
    scores, same_class = random_pair_scores(model, features, test.require_labels())
    same_image, error, bins = measure_views(model, test)
    return RelationQuality(
        auc_same_image=same_image,
        auc_same_class=auc(scores[same_class], scores[~same_class]),
        calibration_error=error,
        calibration=bins,
    )


def measure_views(model: Model, test: Dataset) -> tuple[float, float, tuple[CalibrationBin, ...]]:
    """Return, of pairs of fresh views, the area under ROC, the expected calibration error, and its bins; no labels."""
    positive, negative = view_pair_scores(model, test)
    truth = np.arange(len(positive) + len(negative)) < len(positive)
    error, bins = calibration(np.concatenate([positive, negative]).astype(np.float64), truth, BINS)
    return auc(positive, negative), error, bins


def rescorer(model: Model, features: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what scores hits for `retrieval`: rows (Q,) and their hits (Q, k) -> relation scores (Q, k)."""

    def rescore(queries: np.ndarray, hits: np.ndarray) -> np.ndarray:
        left = np.repeat(features[queries], hits.shape[1], axis=0)
        return model.relate_features(left, features[hits.ravel()]).reshape(hits.shape)

    return rescore
