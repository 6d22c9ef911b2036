"""How well a relation head tells held-out pictures apart: over all pairs of them, and where false alarms are few."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rrzoo.relation import RelationHead

FALSE_ALARMS = (1e-3, 1e-4)  # shares of the pairs of different pictures that score above the threshold


@dataclass(frozen=True)
class HeldOut:
    """What a head does on pictures that it has not seen."""

    pictures: int
    auc_same_image: float  # area under ROC: two random views of one picture against views of two
    auc_same_class: float | None = None  # two unaltered pictures of one class against two of different; None: no labels
    recall_1e_3: float | None = None  # of random views, by their unaltered picture, at that share of false alarms
    recall_1e_4: float | None = None


def auc_same_image(head: RelationHead, features: Tensor) -> float:
    """Return the area for random views of H pictures; `features` as for `measure`, K at least 2."""
    scores = _scores(head, features[1], features[2 if len(features) > 2 else 0])
    return _auc(scores.diagonal(), scores[_different(scores)])


def measure(head: RelationHead, features: Tensor, labels: np.ndarray | None = None) -> HeldOut:
    """Score all pairs of H pictures' views.

    Args:
        head: in eval mode.
        features: float32 (K, H, D) as the head takes them; first of the unaltered pictures, then of random views.
        labels: int (H,).
    """
    same_class = None
    if labels is not None:
        alike = _scores(head, features[0], features[0])
        same, different = labels[:, None] == labels, _different(alike)
        if (same & different).any() and (~same).any():
            same_class = _auc(alike[same & different], alike[~same])
    views = [_scores(head, features[0], view) for view in features[1:]]
    alarms = np.sort(np.concatenate([scores[_different(scores)] for scores in views]))
    matching = np.concatenate([scores.diagonal() for scores in views])
    thresholds = [alarms[-max(1, round(share * len(alarms)))] for share in FALSE_ALARMS]
    recalls = [float((matching > threshold).mean()) for threshold in thresholds]
    return HeldOut(features.shape[1], auc_same_image(head, features), same_class, *recalls)


def _different(scores: np.ndarray) -> np.ndarray:
    """Return which of all pairs are of two pictures, bool (H, H)."""
    return ~np.eye(len(scores), dtype=bool)


@torch.no_grad()
def _scores(head: RelationHead, left: Tensor, right: Tensor) -> np.ndarray:
    found: np.ndarray = head.score_all(left, right).numpy()
    return found


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return how often a positive scores above a negative, ties counting half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))
