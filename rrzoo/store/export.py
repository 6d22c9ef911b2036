"""From pre-trained weights to a model folder: probe, measurements, gallery, card."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import torch

from rrzoo import datasets
from rrzoo.config import Architecture, Evaluation, ModelConfig, Recipe, Training, Untrained
from rrzoo.datasets import Dataset
from rrzoo.environment import machine, versions
from rrzoo.evaluation import measure, neighbours, probes, relation_scores
from rrzoo.gallery import Gallery
from rrzoo.images import ImageArray, to_square
from rrzoo.model import Model
from rrzoo.store.load import load
from rrzoo.store.save import save
from rrzoo.training import Pretrained

RAW_PIXEL_ITERATIONS = 100  # of L-BFGS on raw pixels, where convergence to the last digit would take long
RAW_PIXEL_SIDE = 32  # px, at most: of larger images the pixels would need more memory and time than the training


def export(
    name: str,
    recipe: Recipe,
    pretrained: Pretrained,
    train: Dataset,
    test: Dataset,
    folder: Path,
    untrained: Untrained | None = None,
) -> Model:
    """Fit the probe on `train`, measure everything on `test`, and write the model folder.

    Args:
        name: of the model.
        recipe: that was followed.
        pretrained: what was learnt.
        train: labelled images.
        test: labelled images of the same classes.
        folder: to be made.
        untrained: what `measure_untrained` returned for these images and this recipe; default: it is called.

    Returns:
        the model as it was written.

    Raises:
        errors.ModelFolderError: there is something at `folder` already.
    """
    head = pretrained.relation_head
    aggregation = head.aggregation if head else None
    architecture = Architecture(recipe.backbone, recipe.model_size, train.mean, train.std, train.classes, aggregation)
    model = Model(ModelConfig(name, architecture))
    model.backbone.load_state_dict(pretrained.backbone.state_dict())
    train_features, test_features = model.features(train.images), model.features(test.images)
    random_pair_scores: tuple[float, ...] = ()
    if head:
        model.require_relation_head().load_state_dict(head.state_dict())
        scores, _ = relation_scores.random_pair_scores(model, test_features, test.require_labels())
        random_pair_scores = tuple(float(f"{score:.6g}") for score in np.percentile(scores, np.arange(101)))
    l2 = _set_probe(model, train_features, train.require_labels())
    model.config = ModelConfig(
        name=name,
        architecture=architecture,
        training=Training(
            recipe=recipe,
            data=train.description,
            licence=train.licence,
            images=pretrained.images,
            views_seen=pretrained.views_seen,
            minutes=round(pretrained.minutes, 1),
            machine=machine(),
            versions=versions(),
            date=time.strftime("%Y-%m-%d"),
            epochs_done=pretrained.epochs_done if pretrained.epochs_done < recipe.epochs else None,
        ),
        random_pair_scores=random_pair_scores,
    )
    evaluation = dataclasses.replace(
        _evaluate(model, train_features, test_features, train, test),
        linear_probe_l2=l2,
        untrained=untrained or measure_untrained(recipe, train, test),
    )
    save(model, folder, Gallery.build(model, datasets.load("clay10", "test")), evaluation)
    return load(folder)


def measure_untrained(recipe: Recipe, train: Dataset, test: Dataset) -> Untrained:
    """Measure random weights of a recipe's backbone, and raw pixels, as a model is measured: a minute on CIFAR-10."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = Model(
            ModelConfig("random-weights", Architecture(recipe.backbone, recipe.model_size, train.mean, train.std))
        )
    labels, test_labels = train.require_labels(), test.require_labels()
    features = random.features(train.images), labels, random.features(test.images), test_labels
    side = min(recipe.image_size, RAW_PIXEL_SIDE)
    pixels = _pixels(train.images, side), labels, _pixels(test.images, side), test_labels
    return Untrained(
        random_weights_linear_probe=probes.linear_probe_accuracy(*features, l2=probes.choose_l2(*features[:2])),
        random_weights_knn=neighbours.knn_accuracy(*features),
        raw_pixels_linear_probe=probes.linear_probe_accuracy(*pixels, RAW_PIXEL_ITERATIONS),
        raw_pixels_knn=neighbours.knn_accuracy(*pixels),
    )


def _set_probe(model: Model, features: np.ndarray, labels: np.ndarray) -> float:
    """Fit the model's probe, and return its regulariser, chosen on held-out rows."""
    assert model.probe is not None  # the architecture lists classes
    l2 = probes.choose_l2(features, labels)
    weight, bias = probes.fit_linear_probe(features, labels, len(model.classes), l2=l2)
    with torch.no_grad():
        model.probe.weight.copy_(torch.from_numpy(weight))
        model.probe.bias.copy_(torch.from_numpy(bias))
    return l2


def _evaluate(
    model: Model, train_features: np.ndarray, test_features: np.ndarray, train: Dataset, test: Dataset
) -> Evaluation:
    labels, test_labels = train.require_labels(), test.require_labels()
    right = measure.probe_hits(model, test_features, test_labels)
    k = neighbours.NEIGHBOURS
    return Evaluation(
        dataset=measure.short_name(test.name),
        data=test.description,
        split=test.split,
        train_images=len(train),
        test_images=len(test),
        classes=len(test.classes),
        linear_probe=float(right.mean()),
        shipped_probe=True,
        class_accuracy=measure.accuracy_by_class(right, test_labels, len(model.classes)),
        knn={str(k): neighbours.knn_accuracy(train_features, labels, test_features, test_labels, k)},
        relation=relation_scores.measure(model, test, test_features) if model.has_relation_head else None,
    )


def _pixels(images: ImageArray, size: int) -> np.ndarray:
    """Return images as rows of floats, (N, 3 * size * size), 0 to 1."""
    return to_square(images, size).reshape(len(images), -1).astype(np.float32) / 255
