"""Self-supervised relational reasoning (Patacchiola & Storkey 2020, arXiv 2006.05849): pairs, relation head, losses.

K views of each of M images go through the backbone. Two views of one image make a positive pair; to make a negative
one, the second view is taken from another image of the batch. A small head learns to tell the two kinds apart, and
the backbone learns what it needs for that.

The paper joins the two features of a pair by concatenation and multiplies with one matrix. That product is split here:
W [a; b] = W_a a + W_b b, so each feature is projected once, and a pair costs one addition. Same result, K times less
work.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import errors

HIDDEN = 256  # units of the relation head


def pair_plan(views: int, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Say which views make pairs, and by how much the second is rolled within the batch to make negatives.

    Algorithm 1 of the paper: for every two views i < j, M positive pairs (i, m)-(j, m) and M negative pairs
    (i, m)-(j, m - shift); the shift goes 1, 2, ... M - 1, 1, ... so that no negative pair is of one image.

    Returns:
        first view i, second view j, shift: int64 (P,) each, P = K (K - 1) / 2.

    Raises:
        errors.ArgumentError: K < 2 or M < 2, where there is no pair of views, or no second image.
    """
    if views < 2:
        raise errors.ArgumentError(f"views is {views}: a relation needs at least two views of an image")
    if batch_size < 2:
        raise errors.ArgumentError(f"the batch is {batch_size} image: a negative pair needs at least two images")
    first, second = torch.triu_indices(views, views, offset=1)
    shift = torch.arange(len(first)) % (batch_size - 1) + 1
    return first, second, shift


class RelationHead(nn.Module):
    """Judges whether two features are of one image: Linear(2 D, 256), BatchNorm, LeakyReLU, Linear(256, 1).

    Its scores are logits; the probability is their sigmoid. Parameters are named as in the paper's code.
    """

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(2 * feature_size, HIDDEN)
        self.bn1 = nn.BatchNorm1d(HIDDEN)
        self.relu = nn.LeakyReLU()
        self.linear2 = nn.Linear(HIDDEN, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Score pairs in the given order: float (N, D) and (N, D) -> logits (N,)."""
        first, second = self._project(first, second)
        return self._score(first + second)

    def score_views(self, features: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Score all pairs of `pair_plan` at once.

        Args:
            features: float (K * M, D): all first views, then all second views, and so on.
            views: K.

        Returns:
            logits of the positive pairs and of the negative pairs, (P * M,) each.
        """
        batch_size = len(features) // views
        first, second, shift = (index.to(features.device) for index in pair_plan(views, batch_size))
        left, right = (part.view(views, batch_size, -1) for part in self._project(features, features))  # (K, M, 256)
        image = torch.arange(batch_size, device=features.device)
        rolled = (image - shift.unsqueeze(1)) % batch_size  # (P, M)
        positive = left[first] + right[second]  # (P, M, 256)
        negative = left[first] + right[second.unsqueeze(1), rolled]
        logits = self._score(torch.stack([positive, negative]).flatten(0, 2))  # (2 * P * M,)
        positive, negative = logits.chunk(2)
        return positive, negative

    def _project(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return W_a a and W_b b + bias, (N, 256) each."""
        weight_first, weight_second = self.linear1.weight.chunk(2, dim=1)
        return F.linear(first, weight_first), F.linear(second, weight_second, self.linear1.bias)

    def _score(self, hidden: Tensor) -> Tensor:
        return self.linear2(self.relu(self.bn1(hidden))).squeeze(1)


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
