"""Features of a picture: the relation head takes means over the whole feature map; probe and embedding, finer ones.

Pooling over a grid keeps where things are (Lazebnik, Schmid & Ponce 2006, of which this is one level; Coates, Ng & Lee
2011 pool over 2 x 2). Means over a mirror image and centre crops are test-time augmentation (Krizhevsky, Sutskever &
Hinton 2012, section 4.1), here of features.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import errors
from rrzoo.backbones import Backbone
from rrzoo.config import FeatureOptions


@dataclass(frozen=True)
class Features:
    """What a model has seen in N pictures."""

    relation: np.ndarray  # float32 (N, D): means over the whole feature map, which the relation head takes
    pooled: np.ndarray  # float32 (N, F): what probe and embedding take; the same array where options are the defaults


def pooled_size(options: FeatureOptions, feature_size: int) -> int:
    """Return F, the number of pooled features, given D.

    Raises:
        errors.ArgumentError: an embedding of more numbers than that is asked for.
    """
    size = options.pooling**2 * feature_size
    if options.embedding_size is not None and options.embedding_size > size:
        raise errors.ArgumentError(f"embedding_size is {options.embedding_size}: {size} features allow at most that")
    return size


def relation(backbone: Backbone, images: Tensor, options: FeatureOptions) -> Tensor:
    """Map prepared images, float (N, 3, S, S), to the features that the relation head takes, (N, D)."""
    return _one_pass(backbone, images, options)[0]


def extract(backbone: Backbone, images: Tensor, options: FeatureOptions) -> tuple[Tensor, Tensor]:
    """Map prepared images, float (N, 3, S, S), to features for the relation head (N, D), and pooled ones (N, F).

    A row of F = G * G * D holds D grids, each row by row. There is one pass through the backbone for each zoom, two
    with mirror images; the features for the relation head are those of the plain whole picture, whatever the zooms.
    """
    related, pooled = _one_pass(backbone, images, options)
    if options.zooms == (1.0,) and not options.mirror:
        return related, pooled
    seen = [_enlarge_centre(images, zoom) for zoom in options.zooms]
    if options.mirror:
        seen += [view.flip(3) for view in seen]
    rows = [pooled if view is images else _one_pass(backbone, view, options)[1] for view in seen]
    return related, torch.stack(rows).mean(0)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Compute with the running statistics of BatchNorm, and leave them and every module's mode as they were.

    Nothing is touched where all modules are in eval mode already, as those of a model are that several threads use.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _one_pass(backbone: Backbone, images: Tensor, options: FeatureOptions) -> tuple[Tensor, Tensor]:
    if options.pooling == 1:
        features: Tensor = backbone(images)
        return features, features
    maps = backbone.feature_map(images)
    return maps.mean((2, 3)), F.adaptive_avg_pool2d(maps, options.pooling).flatten(1)


def _enlarge_centre(images: Tensor, share: float) -> Tensor:
    size = images.shape[2]
    side = max(1, round(share * size))
    if side == size:
        return images
    start = (size - side) // 2
    centre = images[:, :, start : start + side, start : start + side]
    return F.interpolate(centre, size=(size, size), mode="bicubic", align_corners=False)
