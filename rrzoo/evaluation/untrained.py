"""What needs no pre-training, to compare with: random weights, and raw pixels."""

import numpy as np
import torch

from rrzoo import devices
from rrzoo.config import Architecture, ModelConfig, Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.evaluation import neighbours, probes
from rrzoo.images import ImageArray, to_square
from rrzoo.measured import Untrained
from rrzoo.model import Model

RAW_PIXEL_ITERATIONS = 100  # of L-BFGS on raw pixels, where convergence to the last digit would take long
RAW_PIXEL_SIDE = 32  # px, at most: of larger images the pixels would need more memory and time than the training


def measure_untrained(recipe: Recipe, train: Dataset, test: Dataset, device: Device = devices.CPU) -> Untrained:
    """Measure random weights of a recipe's backbone, and raw pixels, as a model is measured: a minute on CIFAR-10.

    The backbone computes on `device`.
    """
    options = recipe.changed | {"embedding_size": None}
    architecture = Architecture(recipe.backbone, recipe.model_size, train.mean, train.std, **options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = Model(ModelConfig("random-weights", architecture)).to(device.where)
    labels, test_labels = train.require_labels(), test.require_labels()
    seen, test_seen = random.extract(train.images), random.extract(test.images)
    features = seen.pooled, labels, test_seen.pooled, test_labels
    side = min(recipe.image_size, RAW_PIXEL_SIDE)
    pixels = _pixels(train.images, side), labels, _pixels(test.images, side), test_labels
    return Untrained(
        random_weights_linear_probe=probes.linear_probe_accuracy(*features, l2=probes.choose_l2(*features[:2])),
        random_weights_knn=neighbours.knn_accuracy(*features),
        random_weights_paper_probe=probes.adam_probe_accuracy(seen.relation, labels, test_seen.relation, test_labels),
        raw_pixels_linear_probe=probes.linear_probe_accuracy(*pixels, RAW_PIXEL_ITERATIONS),
        raw_pixels_knn=neighbours.knn_accuracy(*pixels),
        raw_pixels_paper_probe=probes.adam_probe_accuracy(*pixels),
    )


def _pixels(images: ImageArray, size: int) -> np.ndarray:
    """Return images as rows of floats, (N, 3 * size * size), 0 to 1."""
    return to_square(images, size).reshape(len(images), -1).astype(np.float32) / 255
