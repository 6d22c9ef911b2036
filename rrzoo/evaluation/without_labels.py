"""What can be known of a model on held-out images of which nobody has said what they show."""

import numpy as np

from rrzoo.datasets import Dataset
from rrzoo.evaluation import relation_scores
from rrzoo.images import ImageArray
from rrzoo.measured import WithoutLabels
from rrzoo.model import Model

BLOCK = 512  # rows of similarities at a time


def measure(model: Model, test: Dataset) -> WithoutLabels:
    """Measure a model on images without labels.

    Args:
        model: the relation head is measured if it has one.
        test: N images of one size that the model has not learnt from, N at least 2.
    """
    auc, error, bins = relation_scores.measure_views(model, test) if model.has_relation_head else (None, None, ())
    return WithoutLabels(
        data=test.description,
        images=len(test),
        half_found=half_found(*(model.embed(half) for half in halves(test.images))),
        uniformity=uniformity(model.embed(test.images)),
        auc_same_image=auc,
        calibration_error=error,
        calibration=bins,
    )


def halves(images: ImageArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and the right half of images (N, H, W, 3), uint8 (N, H, W // 2, 3); no pixel is in both.

    A model looks at the middle square of each.
    """
    pixels = images[np.arange(len(images))]
    half = pixels.shape[2] // 2
    return pixels[:, :, :half], pixels[:, :, -half:]


def half_found(left: np.ndarray, right: np.ndarray) -> float:
    """Return for which share of rows the nearest of all right rows, by cosine, is that of the same image.

    Args:
        left: unit rows, float (N, E).
        right: those of the same images, in the same order. A tie with another image's is a miss.
    """
    found = 0
    for start in range(0, len(left), BLOCK):
        similarity = left[start : start + BLOCK] @ right.T
        own = similarity[np.arange(len(similarity)), start + np.arange(len(similarity))].copy()
        similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = -np.inf
        found += int((own > similarity.max(1)).sum())
    return found / len(left)


def uniformity(unit: np.ndarray) -> float:
    """Return log(mean(exp(-2 d^2))) over all pairs of two rows, d their distance (Wang & Isola 2020, arXiv 2005.10242).

    Args:
        unit: unit rows, float (N, E), N at least 2.
    """
    total = 0.0
    for start in range(0, len(unit), BLOCK):
        block = unit[start : start + BLOCK].astype(np.float64)
        total += float(np.exp(4 * (block @ unit.T - 1)).sum())  # d^2 = 2 - 2 cos
    count = len(unit)
    pairs = count * (count - 1)
    return float(np.log((total - count) / pairs))  # without each row's pair with itself, which is exp(0)
