"""Fine-tuning: backbone and a linear classifier trained on labels, from the pre-trained weights."""

import copy
import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from rrzoo import environment, errors, views
from rrzoo.datasets import Dataset
from rrzoo.evaluation import probes
from rrzoo.images import limit_detail
from rrzoo.kernels import conv4
from rrzoo.model import Model
from rrzoo.optimisers.muon import Muon

LEARNING_RATE = 1e-2  # of Muon, falling linearly to 0: relative, so that any pre-training's scale of weights will do
BATCH = 128  # images a step
MIN_AREA = 0.5  # of a crop, as a share of the image

T = TypeVar("T")


class Steps(Protocol):
    """Wraps steps over images, for a progress bar."""

    def __call__(self, steps: Iterable[T], count: int, images: int) -> Iterable[T]:
        """Return the steps, given how many they are, and the images of each."""


@environment.keep_memory()
def fine_tune(
    model: Model,
    train: Dataset,
    rows: np.ndarray,
    epochs: int,
    seed: int = 0,
    progress: Steps | None = None,
) -> tuple[Model, nn.Linear]:
    """Train a copy of a model's backbone, and a linear classifier on it, on labelled images.

    Every step sees one random crop of each image, half of them mirrored, without changes of colour. The classifier
    starts as the linear probe of these images (Kumar et al. 2022, arXiv 2202.10054), so that the first steps don't
    spoil what the backbone has learnt.

    Args:
        model: stays as it is.
        train: labelled images; of any one size, views have the model's.
        rows: int (N,), numbers of the images to train on, all of them if N is below 128, else 128 a step.
        epochs: passes over these; what is left of the last step waits for another epoch's order.
        seed: of order and views.
        progress: wraps the steps.

    Returns:
        the trained copy and the classifier, in eval mode.

    Raises:
        errors.DatasetError: the images have no labels.
        errors.ArgumentError: `rows` is empty, or epochs below 1.
    """
    if not len(rows) or epochs < 1:
        raise errors.ArgumentError(f"{len(rows)} images and {epochs} epochs arrived: at least 1 of both is needed")
    device = model.mean.device
    labels = torch.from_numpy(train.require_labels()).to(device)
    tuned = copy.deepcopy(model)
    some = model.features(train.images[rows]), train.require_labels()[rows]
    weight, bias = probes.fit_linear_probe(*some, len(train.classes), l2=probes.choose_l2(*some))
    classifier = nn.Linear(weight.shape[1], weight.shape[0]).to(device)
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(weight))
        classifier.bias.copy_(torch.from_numpy(bias))
    optimizer = Muon([*tuned.backbone.parameters(), *classifier.parameters()], LEARNING_RATE)
    architecture, extract, view_buffer = model.config.architecture, conv4.fast(tuned.backbone), None
    mean, std = model.mean.flatten().float(), model.std.flatten().float()
    batch_size = min(BATCH, len(rows))
    steps = epochs * (len(rows) // batch_size)
    random = np.random.default_rng(seed)
    tuned.train()
    batches: Iterable[np.ndarray] = _batches(rows, batch_size, epochs, random)
    for step, batch in enumerate(progress(batches, steps, batch_size) if progress else batches):
        images = limit_detail(train.images[batch], architecture.source_size)
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
        crops = draw_crops(random, *images.shape[:3])
        view_buffer = views.make(pixels, crops, architecture.image_size, mean, std, out=view_buffer)
        loss = F.cross_entropy(classifier(extract(view_buffer)), labels[torch.from_numpy(batch)])
        if not math.isfinite(loss.item()):
            raise errors.TrainingError(f"the loss is {loss.item()} at step {step + 1} of {steps} of fine-tuning")
        torch.autograd.backward(loss)
        optimizer.learning_rate = LEARNING_RATE * (1 - step / steps)
        optimizer.step()
    return tuned.eval(), classifier


def draw_crops(random: np.random.Generator, count: int, height: int, width: int) -> views.ViewParameters:
    """Draw one crop, of half to all of the area and the shape of the image, for each of `count` images."""
    share = np.sqrt(random.uniform(MIN_AREA, 1, count))
    heights, widths = (np.rint(share * side).astype(np.int64) for side in (height, width))
    top, left = (random.integers(0, side - length + 1) for side, length in ((height, heights), (width, widths)))
    never = np.zeros(count, bool)
    return views.ViewParameters(
        top,
        left,
        heights,
        widths,
        flip=random.random(count) < views.FLIP_PROBABILITY,
        jitter=never,
        factors=np.ones((count, 4), np.float32),
        order=np.tile(views.ORDERS[0], (count, 1)),
        grey=never,
    )


def _batches(rows: np.ndarray, size: int, epochs: int, random: np.random.Generator) -> Iterable[np.ndarray]:
    for _ in range(epochs):
        order = random.permutation(rows)
        yield from (order[start : start + size] for start in range(0, len(order) - size + 1, size))
