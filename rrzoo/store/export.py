"""From pre-trained weights to a model folder: probe, measurements, gallery, card."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from rrzoo import datasets, devices
from rrzoo.config import Architecture, ModelConfig, Recipe, Training
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.environment import machine, versions
from rrzoo.evaluation import (
    calibration,
    measure,
    neighbours,
    own_probe,
    probes,
    recognition,
    relation_scores,
    whitening,
    without_labels,
)
from rrzoo.evaluation.untrained import measure_untrained
from rrzoo.features import Features
from rrzoo.gallery import Gallery
from rrzoo.images import ImageArray
from rrzoo.measured import Evaluation, Untrained, WithoutLabels
from rrzoo.model import Model
from rrzoo.store.load import load
from rrzoo.store.save import save
from rrzoo.training import Pretrained

MOST_RELATION_BYTES = 8_000_000  # of features for re-ranking, beside those for searching, in a gallery that ships
MOST_FITTED = 5000  # images without labels that the embedding is fitted to


def export(
    name: str,
    recipe: Recipe,
    pretrained: Pretrained,
    train: Dataset,
    test: Dataset,
    folder: Path,
    untrained: Untrained | None = None,
    pretraining: Dataset | None = None,
    unknown: Mapping[str, ImageArray] | None = None,
    device: Device = devices.CPU,
) -> Model:
    """Fit the probe on `train`, measure everything on `test`, and write the model folder.

    Args:
        name: of the model.
        recipe: that was followed.
        pretrained: what was learnt.
        train: labelled images.
        test: labelled images of the same classes.
        folder: to be made.
        untrained: what `measure_untrained` returned for these images and this recipe; default: it is called, but not
            for borrowed backbones.
        pretraining: images that the backbone has learnt from; default: `train`.
        unknown: pictures of none of the classes, by what they are, to measure whether the model refuses them.
        device: that measures.

    Returns:
        the model as it was written.

    Raises:
        errors.ModelFolderError: there is something at `folder` already.
        errors.ArgumentError: the recipe has an embedding_size, and all of `train` look alike.
    """
    source = pretraining or train
    model = _model(name, recipe, pretrained, source, train.classes).to(device.where)
    train_features, test_features = model.extract(train.images), model.extract(test.images)
    random_pair_scores: tuple[float, ...] = ()
    if model.has_relation_head:
        random_pair_scores = _percentiles(model, test_features.relation, test.require_labels())
    if model.embedding is not None:
        _set(model.embedding, *whitening.fit(train_features.pooled, model.embedding.out_features))
    l2, temperature = _set_probe(model, train_features, train.require_labels())
    model.config = ModelConfig(
        name=name,
        architecture=model.config.architecture,
        training=_training(recipe, pretrained, source, train),
        random_pair_scores=random_pair_scores,
    )
    evaluation = dataclasses.replace(
        _evaluate(model, train_features, test_features, train, test),
        linear_probe_l2=l2,
        untrained=untrained or (None if pretrained.borrowed else measure_untrained(recipe, train, test, device)),
    )
    evaluation = own_probe.add(evaluation, model, test, test_features, unknown or {}, temperature)
    gallery = _gallery(model, train, test)
    save(model.to("cpu"), folder, gallery, evaluation)
    return load(folder)


def _gallery(model: Model, train: Dataset, test: Dataset) -> Gallery:
    """Return what ships with a model to search in: STL-10, of which it holds no photograph, or clay figures."""
    if train.name != "stl10":
        return Gallery.build(model, datasets.load("clay10", "test"))
    relation = 2 * model.backbone.feature_size * (len(train) + len(test))  # bytes, in float16
    return Gallery.build(model, [train, test], rerank=relation <= MOST_RELATION_BYTES)


def export_unlabelled(
    name: str,
    recipe: Recipe,
    pretrained: Pretrained,
    images: Dataset,
    test: Dataset,
    folder: Path,
    device: Device = devices.CPU,
    gallery: Callable[[Model], Gallery] | None = None,
) -> tuple[Model, WithoutLabels]:
    """Measure what was learnt from images without labels, and write the model folder, which has no probe.

    Args:
        name: of the model.
        recipe: that was followed.
        pretrained: what was learnt.
        images: that it was learnt from.
        test: others, all of one size, to measure it on.
        folder: to be made.
        device: that measures.
        gallery: builds the model's gallery; default: of clay figures.

    Returns:
        the model as it was written, and what was measured.

    Raises:
        errors.ModelFolderError: there is something at `folder` already.
        errors.ArgumentError: the recipe has an embedding_size, and all images look alike.
    """
    model = _model(name, recipe, pretrained, images, ()).to(device.where)
    if model.embedding is not None:
        some = np.random.default_rng(0).permutation(len(images))[:MOST_FITTED]
        pooled = model.extract(images.images[np.sort(some)]).pooled
        _set(model.embedding, *whitening.fit(pooled, model.embedding.out_features))
    random_pair_scores: tuple[float, ...] = ()
    if model.has_relation_head:
        relation = model.extract(test.images).relation
        random_pair_scores = _percentiles(model, relation, np.zeros(len(relation), np.int64))
    model.config = ModelConfig(
        name=name,
        architecture=model.config.architecture,
        training=_training(recipe, pretrained, images, images),
        random_pair_scores=random_pair_scores,
    )
    measured = without_labels.measure(model, test)
    shown = gallery(model) if gallery else Gallery.build(model, datasets.load("clay10", "test"))
    save(model.to("cpu"), folder, shown, without_labels=measured)
    return load(folder), measured


def _model(name: str, recipe: Recipe, pretrained: Pretrained, source: Dataset, classes: tuple[str, ...]) -> Model:
    """Return a model with what was learnt; probe and embedding have random weights."""
    head = pretrained.relation_head
    architecture = Architecture(
        backbone=recipe.backbone,
        image_size=recipe.model_size,
        mean=source.mean,
        std=source.std,
        classes=classes,
        aggregation=head.aggregation if head else None,
        recognises=bool(classes),
        **recipe.changed,
    )
    model = Model(ModelConfig(name, architecture))
    model.backbone.load_state_dict(pretrained.backbone.state_dict())
    if head:
        model.require_relation_head().load_state_dict(head.state_dict())
    return model


def _percentiles(model: Model, features: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Return the 0th to 100th percentile of the relation scores of random pairs."""
    scores, _ = relation_scores.random_pair_scores(model, features, labels)
    return tuple(float(f"{score:.6g}") for score in np.percentile(scores, np.arange(101)))


def _training(recipe: Recipe, pretrained: Pretrained, source: Dataset, train: Dataset) -> Training:
    """Say what the backbone has learnt from, `source`, and whose labels the probe has seen."""
    other = recipe.labelled_dataset != recipe.dataset
    return Training(
        recipe=recipe,
        data=source.description,
        licence=source.licence,
        labelled=f"{train.description}, {train.split} split" if other else "",
        labelled_licence=train.licence if other else "",
        images=pretrained.images,
        views_seen=pretrained.views_seen,
        minutes=round(pretrained.minutes, 1),
        machine=machine(pretrained.gpu),
        arithmetic=pretrained.arithmetic,
        versions=versions(),
        date=time.strftime("%Y-%m-%d"),
        borrowed=pretrained.borrowed,
        epochs_done=pretrained.epochs_done if pretrained.epochs_done < recipe.epochs else None,
    )


def _set_probe(model: Model, features: Features, labels: np.ndarray) -> tuple[float, float]:
    """Fit the model's probe and its recogniser.

    Returns:
        the probe's regulariser, chosen on held-out rows, and the temperature that its logits are divided by, which is
        fitted to those of held-out rows.
    """
    l2 = probes.choose_l2(features.pooled, labels)
    held_out = calibration.held_out_logits(features.pooled, labels, l2)
    temperature = calibration.fit_temperature(held_out, labels)
    weight, bias = probes.fit_linear_probe(features.pooled, labels, len(model.classes), l2=l2)
    _set(model.require_probe(), weight / temperature, bias / temperature)
    recognition.fit(model.require_recogniser(), features.relation, held_out / temperature)
    return l2, temperature


@torch.no_grad()
def _set(layer: torch.nn.Linear, weight: np.ndarray, bias: np.ndarray) -> None:
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(bias))


def _evaluate(
    model: Model, train_features: Features, test_features: Features, train: Dataset, test: Dataset
) -> Evaluation:
    labels, test_labels = train.require_labels(), test.require_labels()
    k = neighbours.NEIGHBOURS
    unit, test_unit = (model.embed_features(one.pooled) for one in (train_features, test_features))
    return Evaluation(
        dataset=measure.short_name(test.name),
        data=test.description,
        split=test.split,
        train_images=len(train),
        test_images=len(test),
        classes=len(test.classes),
        linear_probe=own_probe.accuracy(model, test_features.pooled, test_labels),
        shipped_probe=True,
        paper_probe=probes.adam_probe_accuracy(train_features.relation, labels, test_features.relation, test_labels),
        knn={str(k): neighbours.knn_accuracy(unit, labels, test_unit, test_labels, k)},
        relation=relation_scores.measure(model, test, test_features.relation) if model.has_relation_head else None,
    )
