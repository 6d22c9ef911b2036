"""DeepCluster (Caron et al. 2018, arXiv 1807.05520): which cluster of one's own features is this image in?

As there, every epoch begins with k-means on the whitened features, of unit length, of all images; the clusters are
then learnt like labels by a new linear classifier, and weigh alike whatever their size.

Scaled down: 100 clusters, not 10,000, of 16 of 64 principal axes, not 256 of 4096. Images keep their colours, which
the paper takes away by Sobel filters, since the backbone takes three channels. Adam's moments of the classifier
outlive its weights. The views budget does not count the one whole view of each image, without gradient, that is
clustered in an epoch.
"""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import errors, views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext import kmeans
from rrzoo.pretext.task import Batch, Pretext

CLUSTERS = 100  # k
ITERATIONS = 20  # of k-means
AXES = 16  # principal axes that are clustered
LEAST_VARIANCE = 1e-6  # of an axis, as a share of the largest
BLOCK = 512  # images at a time


class DeepCluster(Pretext):
    """Every epoch clusters the features of all images, then learns the clusters as if they were labels."""

    clusters: Tensor  # int64 (N,), of each image
    cluster_weights: Tensor  # float32 (CLUSTERS,)

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Make the classifier; its weights are drawn anew in every epoch."""
        super().__init__(recipe, backbone, dataset)
        if len(dataset) < CLUSTERS:
            raise errors.DatasetError(
                f"{dataset.name} has {len(dataset)} images: DeepCluster needs at least {CLUSTERS}, one for each cluster"
            )
        self.classifier = nn.Linear(backbone.feature_size, CLUSTERS)
        self.register_buffer("clusters", torch.zeros(len(dataset), dtype=torch.int64), persistent=False)
        self.register_buffer("cluster_weights", torch.ones(CLUSTERS), persistent=False)

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Draw K views of each image, cut, scaled and flipped as always, in their own colours."""
        drawn = super().draw(batch)
        none = np.zeros(len(drawn), bool)
        return dataclasses.replace(drawn, jitter=none, grey=none)

    def start_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Cluster all images, and forget the classifier: the clusters' numbers have no meaning from epoch to epoch."""
        seed = int(np.random.default_rng([self.recipe.seed, epoch]).integers(2**31))
        rows = whiten(self.features(dataset).cpu())  # in double precision, which not every GPU has
        self.clusters = kmeans.cluster(rows.to(self.clusters.device), CLUSTERS, ITERATIONS, seed)
        size = torch.bincount(self.clusters, minlength=CLUSTERS)
        self.cluster_weights = len(dataset) / (CLUSTERS * size.clamp(min=1).float())
        with torch.no_grad():
            weight = torch.empty(self.classifier.weight.shape)
            self.classifier.weight.copy_(weight.normal_(0, 0.01, generator=torch.Generator().manual_seed(seed)))
            self.classifier.bias.zero_()

    @torch.no_grad()
    def features(self, dataset: Dataset) -> Tensor:
        """Return the features of all images, whole and not augmented, float32 (N, D)."""
        device = self.clusters.device
        mean, std = (torch.tensor(values, device=device) for values in (dataset.mean, dataset.std))
        features = []
        self.backbone.eval()
        for start in range(0, len(dataset), BLOCK):
            pixels = torch.from_numpy(np.ascontiguousarray(dataset.images[start : start + BLOCK])).to(device)
            images = pixels.permute(0, 3, 1, 2)
            crops = whole(len(images), *images.shape[2:])
            features.append(self.backbone(views.make(images, crops, self.recipe.image_size, mean, std)))
        self.backbone.train()
        return torch.cat(features)

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the clusters, each weighted alike whatever its size, and the share told right."""
        indices = torch.from_numpy(batch.indices).to(features.device, non_blocking=True)
        cluster = self.clusters[indices].repeat(self.recipe.views)
        logits = self.classifier(features)
        loss = (F.cross_entropy(logits, cluster, reduction="none") * self.cluster_weights[cluster]).mean()
        return loss, {"accuracy": (logits.argmax(1) == cluster).float().mean()}


def whole(count: int, height: int, width: int) -> views.ViewParameters:
    """Return the crops of whole images, cut to a square in the middle."""
    side = np.full(count, min(height, width))
    plain = np.zeros(count, bool)
    return views.crops((height - side) // 2, (width - side) // 2, side, side, plain, plain)


def whiten(features: Tensor) -> Tensor:
    """Turn features (N, D) to their 16 first principal axes, scale these to variance 1, then each row to length 1.

    Axes with less than a millionth of the largest variance are left out: they are of units that never fire.

    Returns:
        float32 (N, at most 16).
    """
    centred = features.double() - features.mean(0, dtype=torch.float64)
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    kept = (variance > LEAST_VARIANCE * variance[-1]).nonzero().squeeze(1)[-AXES:]  # ascending
    return F.normalize(centred @ (axes[:, kept] / variance[kept].sqrt())).float()
