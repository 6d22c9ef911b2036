"""Full supervision: the upper bound that the relational paper (arXiv 2006.05849) compares with."""

import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext


class Supervised(Pretext):
    """Learns the labels with a linear classifier, from K random views of each image."""

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the classifier's random weights."""
        super().__init__(recipe, backbone, dataset)
        dataset.require_labels()  # raises where there are none
        self.classifier = nn.Linear(backbone.feature_size, len(dataset.classes))

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the labels, and the share told right."""
        assert batch.labels is not None  # the data set has labels
        labels = batch.labels.repeat(self.recipe.views)
        logits = self.classifier(features)
        return F.cross_entropy(logits, labels), {"accuracy": (logits.argmax(1) == labels).float().mean()}
