"""How well a score of pairs tells held-out pictures apart: over all pairs of them, and where false alarms are few."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]  # features (L, D) and (R, D) -> scores (L, R)

FALSE_ALARMS = (1e-3, 1e-4)  # shares of the pairs of different pictures that score above the threshold


@dataclass(frozen=True)
class HeldOut:
    """What a score does on pictures that nothing was fitted to."""

    pictures: int
    auc_same_image: float  # area under ROC: two random views of one picture against views of two
    auc_same_class: float | None = None  # two unaltered pictures of one class against two of different; None: no labels
    recall_1e_3: float | None = None  # of random views, by their unaltered picture, at that share of false alarms
    recall_1e_4: float | None = None
    cosine: "HeldOut | None" = None  # of a head: what the cosine of the same features does, centred


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Return cosine similarities, (L, R)."""
    return F.normalize(left) @ F.normalize(right).T


def auc_same_image(score: Score, features: Tensor) -> float:
    """Return the area for random views of H pictures; `features` as for `measure`, K at least 2."""
    scores = _scores(score, features[1], features[2 if len(features) > 2 else 0])
    return _auc(scores.diagonal(), scores[_different(scores)])


def measure(score: Score, features: Tensor, labels: np.ndarray | None = None) -> HeldOut:
    """Score all pairs of H pictures' views.

    Args:
        score: of pairs; `RelationHead.score_all` of a head in eval mode, or `cosine`.
        features: float32 (K, H, D) as it takes them; first of the unaltered pictures, then of random views.
        labels: int (H,).
    """
    same_class = None
    if labels is not None:
        alike = _scores(score, features[0], features[0])
        same, different = labels[:, None] == labels, _different(alike)
        if (same & different).any() and (~same).any():
            same_class = _auc(alike[same & different], alike[~same])
    views = [_scores(score, features[0], view) for view in features[1:]]
    alarms = np.sort(np.concatenate([scores[_different(scores)] for scores in views]))
    matching = np.concatenate([scores.diagonal() for scores in views])
    thresholds = [alarms[-max(1, round(share * len(alarms)))] for share in FALSE_ALARMS]
    often, seldom = (float((matching > threshold).mean()) for threshold in thresholds)
    return HeldOut(features.shape[1], auc_same_image(score, features), same_class, often, seldom)


def _different(scores: np.ndarray) -> np.ndarray:
    """Return which of all pairs are of two pictures, bool (H, H)."""
    return ~np.eye(len(scores), dtype=bool)


@torch.no_grad()
def _scores(score: Score, left: Tensor, right: Tensor) -> np.ndarray:
    found: np.ndarray = score(left, right).cpu().numpy()
    return found


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return how often a positive scores above a negative, ties counting half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))
