"""Colorization (Zhang et al. 2016, arXiv 1603.08511): which colours did this grey image have?

As there, a distribution over quantised colours, the a and b of CIE L*a*b* in bins of 10, is predicted at each place;
targets are spread over five bins, rare colours weigh more, and a colour is read from a distribution by its annealed
mean.

Scaled down: one place for each cell of the feature map, 4 x 4 for 32 px, not 64 x 64 for 256; one hidden layer of 128
units. The backbone sees luma in all three channels, not L, so that it takes coloured images later. Bins are the 261
that sRGB reaches; the paper counts 313. Frequencies of colours are those of the data set, not ImageNet's.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from rrzoo import views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.task import Batch, Pretext

HIDDEN = 128
GRID = 10  # side of a bin, in units of a and b
NEAREST = 5  # bins that a colour is spread over
SPREAD = 5.0  # deviation of the Gaussian that weights them, and that smooths the frequencies of bins
UNIFORM = 0.5  # lambda, share of the uniform distribution that frequencies are mixed with before rebalancing
TEMPERATURE = 0.38  # of the annealed mean
SAMPLE = 2000  # images that frequencies of colours are counted in


class Colorization(Pretext):
    """Predicts a distribution over quantised colours at each place."""

    uses_feature_maps = True

    bins: Tensor  # (Q, 2)
    rebalancing: Tensor  # (Q,)
    black: Tensor  # (3,), "mean" and ...
    white: Tensor  # (3,), "deviation" of views that stay in 0..1

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Draw the decoder's random weights, and count the colours of the data set."""
        super().__init__(recipe, backbone, dataset)
        self.register_buffer("bins", colour_bins(), persistent=False)
        self.register_buffer("black", torch.zeros(3), persistent=False)
        self.register_buffer("white", torch.ones(3), persistent=False)
        self.decoder = nn.Sequential(
            nn.Conv2d(backbone.feature_size, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, len(self.bins), 1)
        )
        rows = np.linspace(0, len(dataset) - 1, min(len(dataset), SAMPLE)).astype(np.int64)
        images = torch.from_numpy(np.ascontiguousarray(dataset.images[rows])).permute(0, 3, 1, 2)
        index, weight = soft_encode(lab(images.float() / 255)[:, 1:], self.bins)
        frequency = torch.zeros(len(self.bins)).index_add_(0, index.flatten(), weight.flatten())
        self.register_buffer("rebalancing", rebalance(frequency / frequency.sum(), self.bins), persistent=False)

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Draw grey views: cut, scaled and flipped as always, their colours not changed but taken away."""
        return dataclasses.replace(self.coloured(batch), grey=np.ones(self.recipe.views * len(batch), bool))

    def coloured(self, batch: Batch) -> views.ViewParameters:
        """Draw the same views in their own colours."""
        plain = np.zeros(self.recipe.views * len(batch), bool)
        return dataclasses.replace(super().draw(batch), jitter=plain, grey=plain)

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the rebalanced cross-entropy; the log shows how far annealed means are from the colours, in ab."""
        logits = self.decoder(features).log_softmax(1)  # (K * M, Q, h, w)
        colours = lab(views.make(batch.images, self.coloured(batch), logits.shape[-1], self.black, self.white))[:, 1:]
        index, weight = soft_encode(colours, self.bins)
        loss = colour_loss(logits, index, weight, self.rebalancing)
        with torch.no_grad():
            error = (annealed_mean(logits, self.bins) - colours).square().sum(1).sqrt().mean()
        return loss, {"colour_error": error}


def lab(rgb: Tensor) -> Tensor:
    """Turn sRGB (N, 3, H, W) in 0..1 into CIE L*a*b* (N, 3, H, W), white point D65: L in 0..100."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("xc,nchw->nxhw", TO_XYZ.to(rgb.device, non_blocking=True), linear)  # 1 is white
    root = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


# IEC 61966-2-1, divided by the white point's X, Y, Z
TO_XYZ = torch.tensor(
    [[0.412456, 0.357576, 0.180438], [0.212673, 0.715152, 0.072175], [0.019334, 0.119192, 0.950304]]
) / torch.tensor([[0.950470], [1.0], [1.088830]])


def colour_bins() -> Tensor:
    """Return the centres of the bins of a and b that sRGB reaches, float (261, 2), in units of a and b."""
    level = torch.arange(0, 256, 3) / 255
    rgb = torch.cartesian_prod(level, level, level).T.reshape(1, 3, -1, 1)
    bins: Tensor = torch.unique((lab(rgb)[0, 1:, :, 0].T / GRID).round(), dim=0)
    return bins * GRID


def soft_encode(colours: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
    """Spread colours over their nearest bins, weighted by a Gaussian of the distance (section 2.2).

    Args:
        colours: float (N, 2, H, W), a and b.
        bins: float (Q, 2).

    Returns:
        numbers of five bins, the nearest first, int64 (N, 5, H, W), and their weights, float, of sum 1.
    """
    places = colours.movedim(1, -1)  # (N, H, W, 2)
    distance, index = torch.cdist(places.reshape(-1, 2), bins).topk(NEAREST, largest=False)
    weight = torch.exp(-distance.square() / (2 * SPREAD**2))
    weight /= weight.sum(1, keepdim=True)
    shape = *places.shape[:-1], NEAREST
    return index.view(shape).movedim(-1, 1), weight.view(shape).movedim(-1, 1)


def rebalance(frequency: Tensor, bins: Tensor) -> Tensor:
    """Return the weights of bins (Q,), rare colours' the larger, whose mean over all places is 1 (equation 4)."""
    kernel = torch.exp(-torch.cdist(bins, bins).square() / (2 * SPREAD**2))
    smooth = kernel / kernel.sum(0) @ frequency
    weight = 1 / ((1 - UNIFORM) * smooth + UNIFORM / len(bins))
    return weight / (weight @ smooth)


def colour_loss(log_probability: Tensor, index: Tensor, weight: Tensor, rebalancing: Tensor) -> Tensor:
    """Return equation 2, as a mean over places: cross-entropies, each weighted by its nearest bin's rebalancing.

    Args:
        log_probability: float (N, Q, H, W).
        index, weight: of `soft_encode`, (N, 5, H, W).
        rebalancing: float (Q,).
    """
    cross_entropy = -(weight * log_probability.gather(1, index)).sum(1)
    return (rebalancing[index[:, 0]] * cross_entropy).mean()


def annealed_mean(log_probability: Tensor, bins: Tensor) -> Tensor:
    """Return the colours of distributions sharpened by a temperature (equation 5): (N, Q, H, W) -> (N, 2, H, W)."""
    return torch.einsum("nqhw,qc->nchw", (log_probability / TEMPERATURE).softmax(1), bins)
