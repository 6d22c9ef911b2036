"""Counting (Noroozi et al. 2017, arXiv 1708.06734): the four quarters of an image hold what the whole image holds.

As there, the counts of four tiles should add up to those of the whole, reduced to a tile's size, and should be far
from those of another image, without which counting nothing would be best; counts are never negative, and two in three
images are grey.

Scaled down: tiles are 16 px of an image of 32, not 114; 256 counts, not 1000, from one hidden layer. The region that
is counted has a random size, so that tiles are enlarged by random amounts; the paper reduces by random methods.
"""

import numpy as np
from torch import Tensor, nn

from rrzoo import errors, views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext, half_size

TILES = 4
MARGIN = 10.0  # M of equation 6: how far apart the counts of two images should be, at least, squared
HIDDEN, COUNTS = 256, 256
FLIP_PROBABILITY, GREY_PROBABILITY = 1 / 2, 2 / 3
SMALLEST = 0.5  # side of the region that is counted, as a share of the image's


class Counting(Pretext):
    """Counts in four tiles and in the whole, reduced to the size of a tile; K = 5."""

    least_views = 5
    why_least_views = "four tiles count what the image counts"

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the random weights of the layers that count."""
        super().__init__(recipe, backbone, dataset)
        if recipe.views != TILES + 1:
            raise errors.ArgumentError(f"views is {recipe.views}: counting needs {TILES + 1}, four tiles and the whole")
        self.view_size = half_size(recipe)
        self.counter = nn.Sequential(
            nn.Linear(backbone.feature_size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, COUNTS), nn.ReLU()
        )

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Draw a region of each image: its four quarters, then the whole of it; all flipped and grey alike."""
        scale, *positions, flip, grey = batch.uniform(5)
        boxes = []
        cells = np.divmod(np.arange(TILES)[:, np.newaxis], 2)  # row and column of each tile
        for cell, side, position in zip(cells, batch.images.shape[2:], positions, strict=True):
            least, most = round(SMALLEST * side / 2), side // 2  # px, side of a tile
            tile = least + (scale * (most - least + 1)).astype(np.int64)
            start = (position * (side - 2 * tile + 1)).astype(np.int64)
            starts = np.vstack([start + cell * tile, start])  # (5, M)
            boxes.append((starts.ravel(), np.concatenate([np.tile(tile, TILES), 2 * tile])))
        (top, height), (left, width) = boxes
        flip, grey = (np.tile(drawn, TILES + 1) for drawn in (flip < FLIP_PROBABILITY, grey < GREY_PROBABILITY))
        return views.crops(top, left, height, width, flip, grey)

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss; the log shows what is counted in an image, and both distances of `distances`."""
        counts = self.counter(features).view(TILES + 1, len(batch), -1)
        own, other = distances(counts)
        counted = counts[TILES].sum(1)
        return counting_loss(own, other), {"counted": counted.mean(), "own": own.mean(), "other": other.mean()}


def distances(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far the sum over an image's tiles is from the count of the whole, and of another image's whole.

    Args:
        counts: float (5, M, C): four tiles, whole.

    Returns:
        squared distances (M,) each; the other image is the next in the batch.
    """
    tiles, whole = counts[:TILES].sum(0), counts[TILES]
    return (whole - tiles).square().sum(1), (whole.roll(-1, 0) - tiles).square().sum(1)


def counting_loss(own: Tensor, other: Tensor) -> Tensor:
    """Return equation 6 of squared distances (M,): an image's own should be 0, another's at least the margin."""
    return (own + (MARGIN - other).clamp(min=0)).mean()
