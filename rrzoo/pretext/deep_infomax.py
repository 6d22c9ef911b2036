"""Deep InfoMax (Hjelm et al. 2019, arXiv 1808.06670): which places belong to the image with this summary?

This is DIM(L), the local objective (alpha = 0, beta = 1), with the noise-contrastive estimate of mutual information,
the paper's best for CIFAR-10, and its encode-and-dot-product scores. The global objective and the adversarial prior
are left out.

Scaled down: places are those of the last feature map, 4 x 4 at 32 px, and the summary is its mean, the features that
are used later; the paper takes both from different depths of a network. Projections have 128 units, not 2048. The
relational paper's random views stand in for whole images; each is an image of its own, and is compared with one view
of each other image.
"""

import torch
from torch import Tensor, nn

from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext

PROJECTED = 128


class DeepInfoMax(Pretext):
    """Pairs every image's features, its summary, with every place of the feature maps of its batch."""

    uses_feature_maps = True

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the random weights of the two projections."""
        super().__init__(recipe, backbone, dataset)
        self.of_summaries = Projection(backbone.feature_size)
        self.of_places = Projection(backbone.feature_size)

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss; the log shows how often a place scores above all places of other images."""
        places = torch.unflatten(features.flatten(2).transpose(1, 2), 0, (-1, len(batch)))  # (K, M, P, D)
        summaries, places = self.of_summaries(places.mean(2)), self.of_places(places)
        scores = torch.einsum("kid,kjpd->kijp", summaries, places)
        own, other = split(scores)
        best = own > other.amax((2, 3)).unsqueeze(2)
        return info_nce(own, other), {"accuracy": best.float().mean()}


class Projection(nn.Module):
    """Two layers and a linear shortcut, then LayerNorm (table 8 of the paper): float (..., D) -> (..., 128)."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(feature_size, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED))
        self.shortcut = nn.Linear(feature_size, PROJECTED)
        self.norm = nn.LayerNorm(PROJECTED)

    def forward(self, x: Tensor) -> Tensor:
        """Project rows."""
        projected: Tensor = self.norm(self.deep(x) + self.shortcut(x))
        return projected


def split(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Split scores (K, M, M, P) of summaries i and places of images j: own (K, M, P), others (K, M, M - 1, P)."""
    views, images, _, places = scores.shape
    own = scores.diagonal(dim1=1, dim2=2).transpose(1, 2)
    # drop the diagonal: without the first, every M + 1 scores end in one
    other = scores.flatten(1, 2)[:, 1:].view(views, images - 1, images + 1, places)[:, :, :-1]
    return own, other.reshape(views, images, images - 1, places)


def info_nce(own: Tensor, other: Tensor) -> Tensor:
    """Return equation 5, of scores (K, M, P) and (K, M, M - 1, P): each own place against all places of the others."""
    rest = other.flatten(2).logsumexp(2, keepdim=True)  # (K, M, 1)
    return (torch.logaddexp(own, rest) - own).mean()
