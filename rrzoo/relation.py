"""Self-supervised relational reasoning (Patacchiola & Storkey 2020, arXiv 2006.05849): pairs, relation head, losses.

K views of each of M images go through the backbone. Two views of one image make a positive pair; to make a negative
one, the second view is taken from another image of the batch. A small head learns to tell the two kinds apart, and
the backbone learns what it needs for that.

The paper joins the two features of a pair, by concatenation in its main results, and multiplies with one matrix. That
product is split here: W [a; b] = W_a a + W_b b, so each feature is projected once, and a pair costs one addition. Same
result, K times less work. Sum and mean split likewise; the maximum does not.
"""

import functools
import importlib.util
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import errors

HIDDEN = 256  # units of the relation head
AGGREGATIONS = ("cat", "sum", "mean", "max")
ROWS = 32  # of left features whose pairs with all right ones are in memory at once


def pair_plan(views: int, batch_size: int, device: torch.device | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Say which views make pairs, and by how much the second is rolled within the batch to make negatives.

    Algorithm 1 of the paper: for every two views i < j, M positive pairs (i, m)-(j, m) and M negative pairs
    (i, m)-(j, m - shift); the shift goes 1, 2, ... M - 1, 1, ... so that no negative pair is of one image.

    Returns:
        first view i, second view j, shift: int64 (P,) each, P = K (K - 1) / 2, on `device`.

    Raises:
        errors.ArgumentError: K < 2 or M < 2, where there is no pair of views, or no second image.
    """
    if views < 2:
        raise errors.ArgumentError(f"views is {views}: a relation needs at least two views of an image")
    if batch_size < 2:
        raise errors.ArgumentError(f"the batch is {batch_size} image: a negative pair needs at least two images")
    first, second = torch.triu_indices(views, views, offset=1, device=device)
    shift = torch.arange(len(first), device=device) % (batch_size - 1) + 1
    return first, second, shift


@functools.cache
def _kernels() -> ModuleType | None:
    """Return `rrzoo.kernels.relation`, or None without numba. Only training needs it, and it takes time to import."""
    if importlib.util.find_spec("numba") is None:
        return None
    from rrzoo.kernels import relation

    return relation


class RelationHead(nn.Module):
    """Judges whether two features are of one image: join them, then Linear, BatchNorm, LeakyReLU, Linear(256, 1).

    Its scores are logits; the probability is their sigmoid. Parameters are named as in the paper's code.
    """

    def __init__(self, feature_size: int, aggregation: str = "cat") -> None:
        """Draw random weights.

        Args:
            feature_size: D.
            aggregation: how two features are joined: "cat" to 2 D numbers, in order; "sum", "mean" and "max", number
                by number, to D. "max" is not linear, so that every pair has to be built: slow, and memory grows
                with D K^2.

        Raises:
            errors.ArgumentError: no aggregation has that name.
        """
        super().__init__()
        if aggregation not in AGGREGATIONS:
            raise errors.ArgumentError(
                f"no aggregation is called {aggregation!r}: {errors.choices(aggregation, AGGREGATIONS)}"
            )
        self.aggregation = aggregation
        self.linear1 = nn.Linear(2 * feature_size if aggregation == "cat" else feature_size, HIDDEN)
        self.bn1 = nn.BatchNorm1d(HIDDEN)
        self.relu = nn.LeakyReLU()
        self.linear2 = nn.Linear(HIDDEN, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Score pairs in the given order: float (N, D) and (N, D) -> logits (N,)."""
        return self._score(self._join(*self._project(first, second)))

    def score_views(self, features: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Score all pairs of `pair_plan` at once.

        On a CPU, in training mode and with numba, pairs are never stored: see `rrzoo.kernels.relation`.

        Args:
            features: float (K * M, D): all first views, then all second views, and so on.
            views: K.

        Returns:
            logits of the positive pairs and of the negative pairs, (P * M,) each.

        Raises:
            errors.ArgumentError: K < 2 or M < 2, or the features are not K views each.
        """
        batch_size = len(features) // max(views, 1)
        plan = pair_plan(views, batch_size, features.device)
        if len(features) != views * batch_size:
            raise errors.ArgumentError(
                f"{len(features)} features arrived: {views} views each need a multiple of {views}"
            )
        left, right = (part.view(views, batch_size, -1) for part in self._project(features, features))
        if self._compiles(left) and (kernels := _kernels()):
            logits = kernels.score_pairs(
                left, right, self.linear1.bias, plan, self.bn1, self.relu.negative_slope, self.linear2
            )
            positive, negative = logits.flatten(1)
            return positive, negative
        first, second, shift = plan
        image = torch.arange(batch_size, device=features.device)
        rolled = (image - shift.unsqueeze(1)) % batch_size  # (P, M)
        # not by brackets: their gradient is summed in any order, so that a run would not repeat
        rows = (second.unsqueeze(1) * batch_size + rolled).flatten()
        others = right.flatten(0, 1).index_select(0, rows).view(-1, batch_size, right.shape[2])  # (P, M, ...)
        ours = left.index_select(0, first)
        positive = self._join(ours, right.index_select(0, second))  # (P, M, 256)
        negative = self._join(ours, others)
        logits = self._score(torch.stack([positive, negative]).flatten(0, 2))  # (2 * P * M,)
        positive, negative = logits.chunk(2)
        return positive, negative

    def score_all(self, left: Tensor, right: Tensor) -> Tensor:
        """Score every left with every right feature, both orders averaged: float (L, D) and (R, D) -> logits (L, R).

        Features are projected once each, so that a pair costs one addition of 256 numbers, and not a product with D.
        """
        first_left, second_left = self._project(left, left)
        first_right, second_right = self._project(right, right)
        rows = []
        for start in range(0, len(left), ROWS):
            part = slice(start, start + ROWS)
            one = self._join(first_left[part, None], second_right).flatten(0, 1)
            other = self._join(first_right, second_left[part, None]).flatten(0, 1)
            rows.append(((self._score(one) + self._score(other)) / 2).view(-1, len(right)))
        return torch.cat(rows)

    def _project(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `_join` takes: W_a a and W_b b, (N, 256) each; for max, a and b as they are."""
        weight = self.linear1.weight
        if self.aggregation == "max":
            return first, second
        if self.aggregation == "cat":
            weight_first, weight_second = weight.chunk(2, dim=1)
        else:
            weight_first = weight_second = weight / 2 if self.aggregation == "mean" else weight
        return F.linear(first, weight_first), F.linear(second, weight_second)

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the hidden activations (..., 256) of pairs of `_project`'s rows."""
        if self.aggregation == "max":
            hidden: Tensor = self.linear1(torch.maximum(first, second))
            return hidden
        return first + second + self.linear1.bias

    def _compiles(self, rows: Tensor) -> bool:
        return self.training and self.aggregation != "max" and rows.device.type == "cpu" and rows.dtype == torch.float32

    def _score(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.linear2(self.relu(self.bn1(hidden)))
        return logits.squeeze(1)


def bce_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the binary cross-entropy of the logits (N,) of positive and of negative pairs, averaged (equation 2)."""
    return (F.softplus(-positive).mean() + F.softplus(negative).mean()) / 2


def focal_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the focal loss (Lin et al. 2017, arXiv 1708.02002) with gamma 2 and alpha 0.5, as the paper's code does.

    Each cross-entropy is weighted by alpha (1 - p)^gamma, p being the probability given to the right answer.
    """
    wrongness = torch.sigmoid(torch.cat([-positive, negative]))  # 1 - p
    cross_entropy = F.softplus(torch.cat([-positive, negative]))
    return 0.5 * (wrongness.square() * cross_entropy).mean()


LOSSES = {"bce": bce_loss, "focal": focal_loss}
