"""From pre-trained weights to a model folder: probe, measurements, gallery, card."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rrzoo import datasets, evaluate, model_folder, relation_scores
from rrzoo.datasets import Dataset
from rrzoo.gallery import Gallery
from rrzoo.images import to_square
from rrzoo.model import Model
from rrzoo.recipes import Architecture, Evaluation, ModelConfig, Recipe, Training
from rrzoo.train import Pretrained, machine, versions

RAW_PIXEL_ITERATIONS = 100  # of L-BFGS on raw pixels, where convergence to the last digit would take long


def export(name: str, recipe: Recipe, pretrained: Pretrained, train: Dataset, test: Dataset, folder: Path) -> Model:
    """Fit the probe on `train`, measure everything on `test`, and write the model folder.

    Returns:
        the model as it was written.

    Raises:
        errors.ModelFolderError: there is something at `folder` already.
    """
    architecture = Architecture(
        recipe.backbone, recipe.image_size, train.mean, train.std, train.classes, recipe.aggregation
    )
    model = Model(ModelConfig(name, architecture))
    model.backbone.load_state_dict(pretrained.backbone.state_dict())
    model.relation_head.load_state_dict(pretrained.relation_head.state_dict())
    train_features, test_features = model.features(train.images), model.features(test.images)
    scores, same_class = relation_scores.random_pair_scores(model, test_features, test.known_labels)
    _set_probe(model, train_features, train.known_labels)
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
        ),
        evaluation=_evaluate(
            model, train_features, test_features, train, test, evaluate.auc(scores[same_class], scores[~same_class])
        ),
        random_pair_scores=tuple(float(f"{score:.6g}") for score in np.percentile(scores, np.arange(101))),
    )
    model_folder.save(model, folder, Gallery.build(model, datasets.load("clay10", "test")))
    return model_folder.load(folder)


def _set_probe(model: Model, features: np.ndarray, labels: np.ndarray) -> None:
    assert model.probe is not None  # the architecture lists classes
    weight, bias = evaluate.fit_linear_probe(features, labels, len(model.classes))
    with torch.no_grad():
        model.probe.weight.copy_(torch.from_numpy(weight))
        model.probe.bias.copy_(torch.from_numpy(bias))


def _evaluate(
    model: Model,
    train_features: np.ndarray,
    test_features: np.ndarray,
    train: Dataset,
    test: Dataset,
    auc_same_class: float,
) -> Evaluation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = Model(replace(model.config, name="random-weights"))
    knn = evaluate.knn_accuracy
    raw_train, raw_test = (_pixels(dataset, model.config.architecture.image_size) for dataset in (train, test))
    random_train, random_test = random.features(train.images), random.features(test.images)
    return Evaluation(
        data=f"{test.description}, {test.split} split",
        train_images=len(train),
        test_images=len(test),
        linear_probe=float((model.classify(test.images).argmax(1) == test.known_labels).mean()),
        knn=knn(train_features, train.known_labels, test_features, test.known_labels),
        random_weights_linear_probe=evaluate.linear_probe_accuracy(
            random_train, train.known_labels, random_test, test.known_labels
        ),
        random_weights_knn=knn(random_train, train.known_labels, random_test, test.known_labels),
        raw_pixels_linear_probe=evaluate.linear_probe_accuracy(
            raw_train, train.known_labels, raw_test, test.known_labels, RAW_PIXEL_ITERATIONS
        ),
        raw_pixels_knn=knn(raw_train, train.known_labels, raw_test, test.known_labels),
        auc_same_image=evaluate.auc(*relation_scores.view_pair_scores(model, test)),
        auc_same_class=auc_same_class,
        seeds=1,
    )


def _pixels(dataset: Dataset, size: int) -> np.ndarray:
    """Return images as rows of floats, (N, 3 * size * size), 0 to 1."""
    return to_square(dataset.images, size).reshape(len(dataset), -1).astype(np.float32) / 255
