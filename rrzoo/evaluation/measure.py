"""All that is measured of a trained model on a labelled data set, from features that are extracted once."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrzoo import environment, errors, ranks
from rrzoo.datasets import Dataset
from rrzoo.evaluation import fine_tuning, neighbours, own_probe, probes, relation_scores
from rrzoo.evaluation.fine_tuning import Steps
from rrzoo.evaluation.retrieval import reranked_retrieval, retrieval
from rrzoo.features import Features
from rrzoo.gallery import RERANKED
from rrzoo.images import ImageArray
from rrzoo.measured import Evaluation, FineTuned, MeanStd
from rrzoo.model import Model

NEIGHBOURS = (20, 200)
LABEL_SHARES = (0.01, 0.1)
DRAWS = 5  # of few labels
FINE_TUNING = {0.01: 60, 0.1: 30, 1.0: 5}  # epochs by share of the labels; the first two as in SimCLR's paper

AT_ONCE = 1024  # images whose features make one step of progress

Stage = Callable[[str], None]  # told which part begins


def measure(
    model: Model,
    train: Dataset,
    test: Dataset,
    unknown: Mapping[str, ImageArray] | None = None,
    stage: Stage = lambda name: None,
    progress: Steps | None = None,
    extracted: tuple[Features, Features] | None = None,
) -> Evaluation:
    """Measure a model: probes and neighbours are fitted to `train`, and everything is measured on `test`.

    Any labelled data set will do, whatever the model was trained on: images are scaled to the model's size. On the data
    set that the model's own probe was fitted to, that probe is measured, and no other; elsewhere a new one is fitted,
    and the own is measured beside it, on the classes in common.

    Probe, neighbours and retrieval use the features as the model pools them; the paper's protocol, and relation scores,
    those that the relation head takes.

    Args:
        model: the relation head is measured if it has one.
        train: labelled images.
        test: labelled images of the same classes, all of one size.
        unknown: pictures of none of the model's classes, by what they are, to see whether it refuses them: see
            `evaluation.unknown`. Only used with the model's own probe.
        stage: called with the name of each part when it begins.
        progress: wraps the steps over images.
        extracted: the features of both splits, if they are known: see `extract`.

    Raises:
        errors.DatasetError: a split has no labels; or both are one split, or are of different classes; or no
            class has two test images.
    """
    _check(train, test)
    begun = time.perf_counter()
    labels, test_labels = train.require_labels(), test.require_labels()
    stage("features")
    features, test_features = extracted or (_extract(model, split, progress) for split in (train, test))
    data = features.pooled, labels, test_features.pooled, test_labels
    stage("linear probe")
    if shipped := own_probe.is_of(model, test):
        l2 = model.evaluation.linear_probe_l2 if model.evaluation else None
        linear_probe = own_probe.accuracy(model, *data[2:])
    else:
        l2 = probes.choose_l2(*data[:2])
        linear_probe = probes.linear_probe_accuracy(*data, l2=l2)
    folds = None if train.folds is None else MeanStd.of(probes.linear_probe_fold_accuracies(*data, train.folds))
    stage("the paper's probe")
    paper_probe = probes.adam_probe_accuracy(features.relation, labels, test_features.relation, test_labels)
    stage("few labels")
    few_labels = {f"{share:.0%}": _few_labels(data, share) for share in LABEL_SHARES}
    stage("neighbours")
    embedded, test_embedded = (model.embed_features(split.pooled) for split in (features, test_features))
    knn = {str(k): neighbours.knn_accuracy(embedded, labels, test_embedded, test_labels, k) for k in NEIGHBOURS}
    stage("retrieval")
    reranked = None
    if not model.has_relation_head:
        found = retrieval(test_embedded, test_labels)
    else:
        rescore = relation_scores.rescorer(model, test_features.relation)
        found, reranked = reranked_retrieval(test_embedded, test_labels, rescore, RERANKED)
    stage("relation scores")
    relation = relation_scores.measure(model, test, test_features.relation) if model.has_relation_head else None
    evaluation = Evaluation(
        dataset=short_name(test.name),
        data=test.description,
        split=test.split,
        train_images=len(train),
        test_images=len(test),
        classes=len(test.classes),
        linear_probe=linear_probe,
        linear_probe_l2=l2,
        shipped_probe=shipped,
        paper_probe=paper_probe,
        knn=knn,
        retrieval=found,
        few_labels=few_labels,
        folds=folds,
        reranked=reranked,
        relation=relation,
    )
    stage("the model's own probe")
    known = model.evaluation.calibration if model.evaluation else None
    temperature = known.temperature if known else None
    evaluation = own_probe.add(evaluation, model, test, test_features, unknown or {}, temperature)
    return replace(evaluation, seconds=round(time.perf_counter() - begun, 1))


def extract(
    model: Model, train: Dataset, test: Dataset, progress: Steps | None = None
) -> tuple[Features, Features] | None:
    """Compute the features of both splits, by all ranks together: each takes every so manieth block of images.

    Returns:
        on the first rank what one process would compute, to the last bit where that has as many threads; on the others
        None.

    Raises:
        errors.DatasetError: see `measure`.
        errors.ArgumentError: the ranks' models or images differ.
        errors.TrainingError: a rank was lost.
    """
    _check(train, test)
    shapes = {f"the {one.split} split": f"{one.name}, {len(one)} images" for one in (train, test)}
    ranks.require_agreement(environment.versions() | shapes | {"the model": model.fingerprint})
    found = []
    for split in (train, test):
        own = ranks.in_turn(range(0, len(split), AT_ONCE), 1)
        told = ranks.tell_first(dict(zip(own, _blocks(model, split, own, progress), strict=True)))
        found.append({start: part for parts in told for start, part in parts.items()})
    if not ranks.this().first:
        return None
    first, second = (_join(model, [parts[start] for start in sorted(parts)]) for parts in found)
    return first, second


def fine_tune(
    model: Model, train: Dataset, test: Dataset, evaluation: Evaluation, progress: Steps | None = None
) -> Evaluation:
    """Add what fine-tuning on 1%, 10% and all of the labels reaches; it takes minutes where a probe takes seconds.

    Raises:
        errors.DatasetError: see `measure`.
    """
    _check(train, test)
    begun = time.perf_counter()
    tuned = {}
    for share, epochs in FINE_TUNING.items():
        rows = probes.few_labels(train.require_labels(), share, seed=0)
        learner, classifier = fine_tuning.fine_tune(model, train, rows, epochs, progress=progress)
        weight, bias = classifier.weight.detach().cpu().numpy(), classifier.bias.detach().cpu().numpy()
        right = (learner.features(test.images) @ weight.T + bias).argmax(1) == test.require_labels()
        tuned[f"{share:.0%}"] = FineTuned(float(right.mean()), len(rows), epochs)
    seconds = (evaluation.seconds or 0) + time.perf_counter() - begun
    return replace(evaluation, fine_tuned=tuned, seconds=round(seconds, 1))


def _check(train: Dataset, test: Dataset) -> None:
    if train.split == test.split:
        raise errors.DatasetError(
            f"{test.name} has one split, {test.split}: to measure, images are needed that nothing was fitted to"
        )
    if train.classes != test.classes:
        absent = sorted(set(train.classes) ^ set(test.classes))
        raise errors.DatasetError(
            f"the {train.split} and {test.split} splits of {test.name} are not of the same classes ({absent[0]} is in "
            "one of them): make them so"
        )
    if np.unique(test.require_labels(), return_counts=True)[1].max() < 2:
        raise errors.DatasetError(
            f"no two images of the {test.split} split of {test.name} are of one class: nothing could be found there"
        )


def short_name(dataset: str) -> str:
    """Return the name of a data set; of a folder, its last part alone: where it is is nobody's business."""
    return f"dir:{Path(dataset).name}" if dataset.startswith("dir:") else dataset


def _extract(model: Model, dataset: Dataset, progress: Steps | None) -> Features:
    return _join(model, _blocks(model, dataset, range(0, len(dataset), AT_ONCE), progress))


def _blocks(model: Model, dataset: Dataset, starts: Sequence[int], progress: Steps | None) -> list[Features]:
    """Return the features of blocks of images, AT_ONCE from each start."""
    steps = starts if progress is None else progress(starts, len(starts), AT_ONCE)
    return [model.extract(dataset.images[start : start + AT_ONCE]) for start in steps]


def _join(model: Model, parts: Sequence[Features]) -> Features:
    relation = np.concatenate([part.relation for part in parts])
    plain = model.config.architecture.plain
    return Features(relation, relation if plain else np.concatenate([part.pooled for part in parts]))


def _few_labels(data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], share: float) -> MeanStd:
    """Fit probes to a share of the labels, each with a regulariser chosen within that share."""
    features, labels, test_features, test_labels = data
    accuracies = []
    for seed in range(DRAWS):
        rows = probes.few_labels(labels, share, seed)
        some, known = features[rows], labels[rows]
        l2 = probes.choose_l2(some, known)
        accuracies.append(probes.linear_probe_accuracy(some, known, test_features, test_labels, l2=l2))
    return MeanStd.of(np.array(accuracies))
