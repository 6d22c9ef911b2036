"""From pre-trained weights to a model folder: probe, measurements, gallery, card."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rrzoo import datasets
from rrzoo.config import Architecture, Evaluation, ModelConfig, Recipe, Training
from rrzoo.datasets import Dataset
from rrzoo.environment import machine, versions
from rrzoo.evaluation import probes, relation_scores
from rrzoo.gallery import Gallery
from rrzoo.images import ImageArray, to_square
from rrzoo.model import Model
from rrzoo.store import model_folder
from rrzoo.training import Pretrained

RAW_PIXEL_ITERATIONS = 100  # of L-BFGS on raw pixels, where convergence to the last digit would take long
RAW_PIXEL_SIDE = 32  # px, at most: of larger images the pixels would need more memory and time than the training


@dataclass(frozen=True)
class Untrained:
    """What needs no pre-training, to compare with: accuracies, shares of the test images."""

    random_weights_linear_probe: float
    random_weights_knn: float
    raw_pixels_linear_probe: float
    raw_pixels_knn: float


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
    auc_same_class: float | None = None
    random_pair_scores: tuple[float, ...] = ()
    if head:
        model.require_relation_head().load_state_dict(head.state_dict())
        scores, same_class = relation_scores.random_pair_scores(model, test_features, test.require_labels())
        auc_same_class = probes.auc(scores[same_class], scores[~same_class])
        random_pair_scores = tuple(float(f"{score:.6g}") for score in np.percentile(scores, np.arange(101)))
    _set_probe(model, train_features, train.require_labels())
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
        evaluation=_evaluate(
            model,
            train_features,
            test_features,
            train,
            test,
            auc_same_class,
            untrained or measure_untrained(recipe, train, test),
        ),
        random_pair_scores=random_pair_scores,
    )
    model_folder.save(model, folder, Gallery.build(model, datasets.load("clay10", "test")))
    return model_folder.load(folder)


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
        random_weights_linear_probe=probes.linear_probe_accuracy(*features),
        random_weights_knn=probes.knn_accuracy(*features),
        raw_pixels_linear_probe=probes.linear_probe_accuracy(*pixels, RAW_PIXEL_ITERATIONS),
        raw_pixels_knn=probes.knn_accuracy(*pixels),
    )


def _set_probe(model: Model, features: np.ndarray, labels: np.ndarray) -> None:
    assert model.probe is not None  # the architecture lists classes
    weight, bias = probes.fit_linear_probe(features, labels, len(model.classes))
    with torch.no_grad():
        model.probe.weight.copy_(torch.from_numpy(weight))
        model.probe.bias.copy_(torch.from_numpy(bias))


def _evaluate(
    model: Model,
    train_features: np.ndarray,
    test_features: np.ndarray,
    train: Dataset,
    test: Dataset,
    auc_same_class: float | None,
    untrained: Untrained,
) -> Evaluation:
    right = model.classify(test.images).argmax(1) == test.require_labels()
    return Evaluation(
        data=f"{test.description}, {test.split} split",
        train_images=len(train),
        test_images=len(test),
        linear_probe=float(right.mean()),
        knn=probes.knn_accuracy(train_features, train.require_labels(), test_features, test.require_labels()),
        **vars(untrained),
        auc_same_image=probes.auc(*relation_scores.view_pair_scores(model, test)) if model.has_relation_head else None,
        auc_same_class=auc_same_class,
        seeds=1,
        class_accuracy=_class_accuracy(right, test.require_labels(), len(model.classes)),
    )


def _class_accuracy(right: np.ndarray, labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Return the share of each class's images that are `right`, bool (N,); nothing where a class has no image."""
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        return ()
    return tuple((np.bincount(labels, right, classes) / counts).tolist())


def _pixels(images: ImageArray, size: int) -> np.ndarray:
    """Return images as rows of floats, (N, 3 * size * size), 0 to 1."""
    return to_square(images, size).reshape(len(images), -1).astype(np.float32) / 255
