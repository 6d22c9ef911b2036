"""Jigsaw puzzles (Noroozi & Favaro 2016, arXiv 1603.09246): which of a set of permutations shuffled the patches?

As there, each of nine patches, with random gaps between them, goes through one network by itself; their features are
joined in the shuffled order; the permutations are chosen to be far apart; patches are normalised one by one, and some
images are grey.

Scaled down: patches of 4 to 8 px of an image of 32, enlarged to 16, not 64 px of 225; 100 permutations, not 1000; one
hidden layer of 256 units, with BatchNorm. The channels are not moved against each other: patches are too small.
"""

import functools
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext import patches
from rrzoo.pretext.patches import PATCHES, UNUSED
from rrzoo.pretext.task import Batch, Pretext, half_size

PERMUTATIONS = 100
GREY_PROBABILITY = 0.3
FLAT = 0.1  # added to the variance of a patch, where 1 is that of the data set: flat patches do not turn into noise
HIDDEN = 256


class Jigsaw(Pretext):
    """Classifies the permutation of nine patches, each seen by itself; K = 9."""

    least_views = 9
    why_least_views = "the puzzle has nine tiles"
    needs_plain_layout = True
    permutations: Tensor  # int64 (100, 9)

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the classifier's random weights."""
        super().__init__(recipe, backbone, dataset)
        patches.check(recipe)
        self.view_size = half_size(recipe)  # patches are a quarter of their region, so twice enlarged at least
        permutations = torch.from_numpy(permutation_set(PERMUTATIONS, PATCHES)).long()
        self.register_buffer("permutations", permutations, persistent=False)
        self.classifier = nn.Sequential(
            nn.Linear(PATCHES * backbone.feature_size, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, PERMUTATIONS),
        )

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Draw the nine patches of each image, three images in ten without colours."""
        return patches.draw(batch, grey=batch.uniform(UNUSED + 1)[UNUSED] < GREY_PROBABILITY)

    def transform_views(self, views: Tensor, batch: Batch) -> Tensor:
        """Give every colour of every patch mean 0 and deviation 1: both are alike in neighbours."""
        return F.instance_norm(views, eps=FLAT)

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Shuffle each image's patches; return the cross-entropy of the permutations, and the share told right."""
        drawn = (batch.uniform(UNUSED + 2)[UNUSED + 1] * PERMUTATIONS).astype(np.int64)
        answer = torch.from_numpy(drawn).to(features.device, non_blocking=True)
        logits = self.classifier(shuffle(features.view(PATCHES, len(batch), -1), self.permutations[answer]).flatten(1))
        return F.cross_entropy(logits, answer), {"accuracy": (logits.argmax(1) == answer).float().mean()}


def shuffle(features: Tensor, permutations: Tensor) -> Tensor:
    """Put patch permutations[m, i] of image m in place i: (9, M, D) and int64 (M, 9) -> (M, 9, D)."""
    return features[permutations, torch.arange(features.shape[1], device=features.device).unsqueeze(1)]


@functools.cache
def permutation_set(count: int, length: int) -> np.ndarray:
    """Choose permutations far from each other, as algorithm 1 of the paper, but for its random first choice.

    Each next one has the largest mean Hamming distance to those before. Often many have; of these, the one farthest
    from its nearest is taken, then the first in lexicographic order.

    Args:
        count: P, at most length!.
        length: of a permutation.

    Returns:
        int8 (P, length), the first the identity.
    """
    every = np.array(list(itertools.permutations(range(length))), np.int8)  # (length!, length)
    places = np.ascontiguousarray(every.T)
    total, nearest = np.zeros(len(every), np.int64), np.full(len(every), length, np.int8)
    chosen = [0]
    for _ in range(count - 1):
        distance = np.zeros(len(every), np.int8)
        for place, patch in zip(places, every[chosen[-1]], strict=True):
            distance += place != patch
        total += distance
        nearest = np.minimum(nearest, distance)  # 0 for what is chosen
        chosen.append(int(np.where(nearest > 0, total * (length + 1) + nearest, -1).argmax()))
    return every[chosen]
