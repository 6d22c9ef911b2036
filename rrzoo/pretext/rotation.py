"""Rotation (Gidaris et al. 2018, arXiv 1803.07728): by how many quarter turns was the picture turned?

The views are the relational paper's, K / 4 of each image, each in all four turns, instead of padded crops and flips. A
linear classifier reads the features; the paper's reads a deeper network's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import errors, views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext

TURNS = 4


class Rotation(Pretext):
    """Classifies the turn of each view; K is a multiple of 4."""

    least_views = 4
    why_least_views = "a view is turned four ways"
    needs_plain_layout = True

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the classifier's random weights."""
        super().__init__(recipe, backbone, dataset)
        if recipe.views % TURNS:
            raise errors.ArgumentError(
                f"views is {recipe.views}: a multiple of {TURNS} is needed, since a view is turned"
            )
        self.classifier = nn.Linear(backbone.feature_size, TURNS)

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Draw K / 4 views of each image."""
        size = batch.images.shape[2:]
        return views.draw(batch.seed, batch.epoch, batch.indices, self.recipe.views // TURNS, *size)

    def transform_views(self, views: Tensor, batch: Batch) -> Tensor:
        """Return all views as they are, then all turned by 90 degrees, by 180, by 270."""
        return torch.cat([views.rot90(turn, (2, 3)) for turn in range(TURNS)])

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the turns, and the share told right."""
        logits = self.classifier(features)
        turns = torch.arange(TURNS, device=features.device).repeat_interleave(len(features) // TURNS)
        return F.cross_entropy(logits, turns), {"accuracy": (logits.argmax(1) == turns).float().mean()}
