"""Relational reasoning (Patacchiola & Storkey 2020, arXiv 2006.05849): are two views of one image?"""

from torch import Tensor

from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext
from rrzoo.relation import LOSSES, RelationHead


class Relation(Pretext):
    """Every two of K views of an image make a positive pair, and a negative one with another image's view."""

    least_views = 2
    why_least_views = "a relation needs two views of an image"

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the relation head's random weights; the recipe says how it joins two features, and the loss."""
        super().__init__(recipe, backbone, dataset)
        self.relation_head: RelationHead = RelationHead(backbone.feature_size, recipe.aggregation)
        self.pair_loss = LOSSES[recipe.loss]

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Score all pairs; the log shows the shares of positive and of negative pairs that are told right."""
        positive, negative = self.relation_head.score_views(features, self.recipe.views)
        return self.pair_loss(positive, negative), {
            "accuracy_positive": (positive > 0).float().mean(),
            "accuracy_negative": (negative < 0).float().mean(),
        }
