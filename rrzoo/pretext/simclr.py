"""SimCLR (Chen et al. 2020, arXiv 2002.05709): find the other view of one's image among all views of the batch.

NT-Xent, by default at temperature 0.5, best for CIFAR-10 in appendix B.9, on a projection with one hidden layer and
ReLU to 128 numbers. Scaled down: the hidden layer has 256 units, as many as the relation head's, not 2048.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext

HIDDEN, PROJECTED = 256, 128  # units of the projection


class SimCLR(Pretext):
    """Contrastive learning with in-batch negatives; K = 2 in the paper."""

    least_views = 2
    why_least_views = "SimCLR contrasts views of an image"
    default_options: ClassVar[Mapping[str, float]] = {"temperature": 0.5}

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the projection's random weights."""
        super().__init__(recipe, backbone, dataset)
        self.projection = nn.Sequential(
            nn.Linear(backbone.feature_size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PROJECTED)
        )

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Contrast all views; the log shows how often a view of one's own image is the most similar of all."""
        logits = similarities(self.projection(features), self.options["temperature"])
        nearest = logits.detach().argmax(1)
        image = torch.arange(len(logits), device=logits.device) % len(batch)
        return nt_xent(logits, len(batch)), {"accuracy": (image[nearest] == image).float().mean()}


def similarities(projected: Tensor, temperature: float) -> Tensor:
    """Return cosine similarities over the temperature, (N, N), of rows (N, P); a row with itself: -inf."""
    unit = F.normalize(projected)
    return (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)


def nt_xent(logits: Tensor, batch_size: int) -> Tensor:
    """Return the loss of `similarities` of K views of M images each: equation 1 for K = 2.

    For more views, the mean over all positive pairs, as Khosla et al. 2020 (arXiv 2004.11362, equation 2).
    """
    views = len(logits) // batch_size
    log_probability = logits.log_softmax(1).view(views, batch_size, views, batch_size)
    own = log_probability.diagonal(dim1=1, dim2=3)  # (K, K, M): of the views of one's own image
    other = torch.arange(views * (views - 1), device=logits.device)
    other += other // views + 1  # all of K x K places but the diagonal
    return -own.flatten(0, 1)[other].mean()
