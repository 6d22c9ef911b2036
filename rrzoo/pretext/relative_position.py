"""Relative position (Doersch et al. 2015, arXiv 1505.05192): which neighbour of this patch is that patch?

As there, patches lie on a grid with gaps and offsets, each is paired with up to eight neighbours, and both go through
one network before their features meet. Two of three colours are dropped against chromatic aberration.

Scaled down: patches of 4 to 8 px of an image of 32, enlarged to 16, not 96 px of a photograph, on a grid of 3 x 3
that covers a random region; one hidden layer of 128 units. Colours are dropped from every other patch, not from all,
since small backbones would learn nothing about colours, and they are dropped to 0, not to faint noise.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext import patches
from rrzoo.pretext.patches import PATCHES, SIDE, UNUSED
from rrzoo.pretext.task import Batch, Pretext, half_size

DIRECTIONS = 8
HIDDEN = 128
DROP_PROBABILITY = 0.5


class RelativePosition(Pretext):
    """Classifies the direction from a patch to its neighbour, for all neighbours on a grid of 3 x 3; K = 9."""

    least_views = 9
    why_least_views = "patches are cut on a grid of 3 x 3"
    needs_plain_layout = True
    first: Tensor  # int64 (40,): all pairs of patches, ...
    second: Tensor  # int64 (40,)
    direction: Tensor  # int64 (40,): ... and the way from first to second

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the classifier's random weights."""
        super().__init__(recipe, backbone, dataset)
        patches.check(recipe)
        self.view_size = half_size(recipe)  # patches are a quarter of their region, so twice enlarged at least
        self.hidden = nn.Linear(2 * backbone.feature_size, HIDDEN)
        self.classifier = nn.Linear(HIDDEN, DIRECTIONS)
        for name, indices in zip(("first", "second", "direction"), neighbours(), strict=True):
            self.register_buffer(name, indices, persistent=False)

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Draw the nine patches of each image."""
        return patches.draw(batch)

    def transform_views(self, views: Tensor, batch: Batch) -> Tensor:
        """Drop two of the three colours of every other patch, by chance: set them to 0, the mean."""
        which, drawn = batch.uniform(UNUSED + 2, PATCHES)[UNUSED:]
        kept = (np.arange(3) == (which * 3).astype(np.int64)[:, np.newaxis]) | (drawn >= DROP_PROBABILITY)[
            :, np.newaxis
        ]
        return views * torch.from_numpy(kept).to(views.device, non_blocking=True).view(-1, 3, 1, 1)

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the directions of all 40 pairs, and the share told right."""
        logits = self.logits(features.view(PATCHES, len(batch), -1))
        direction = self.direction.repeat_interleave(len(batch))
        return F.cross_entropy(logits, direction), {"accuracy": (logits.argmax(1) == direction).float().mean()}

    def logits(self, features: Tensor) -> Tensor:
        """Score the directions of all pairs of patches: float (9, M, D) -> (40 * M, 8).

        The hidden layer is linear in the two features, so each is multiplied once, not once a pair.
        """
        first, second = (F.linear(features, weight) for weight in self.hidden.weight.chunk(2, dim=1))
        # not by brackets: their gradient is summed in any order, so that a run would not repeat
        hidden = (
            first.index_select(0, self.first) + second.index_select(0, self.second) + self.hidden.bias
        )  # (40, M, 128)
        logits: Tensor = self.classifier(torch.relu(hidden))
        return logits.flatten(0, 1)


def neighbours() -> tuple[Tensor, Tensor, Tensor]:
    """Return all ordered pairs of neighbours on the grid.

    Returns:
        first patch, second patch, direction from first to second: int64 (40,) each. Directions count the eight
        patches around a middle one, row by row.
    """
    row, column = torch.arange(PATCHES) // SIDE, torch.arange(PATCHES) % SIDE
    first, second = torch.cartesian_prod(torch.arange(PATCHES), torch.arange(PATCHES)).T
    down, right = row[second] - row[first], column[second] - column[first]
    near = (down.abs() <= 1) & (right.abs() <= 1) & (first != second)
    place = SIDE * (down + 1) + right + 1  # 0 to 8, of which 4 is the middle
    return first[near], second[near], (place - (place > 4).long())[near]
