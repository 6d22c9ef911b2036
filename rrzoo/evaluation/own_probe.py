"""What the model's own probe makes of labelled images: those that it was fitted to the like of, and others."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rrzoo.datasets import Dataset
from rrzoo.evaluation import calibration, recognition
from rrzoo.features import Features
from rrzoo.images import ImageArray
from rrzoo.measured import Elsewhere, Evaluation, ProbeCalibration
from rrzoo.model import Model

SYNONYMS = {"automobile": "car"}  # names of CIFAR-10 that STL-10 has another word for


def common_name(name: str) -> str:
    """Return the name that all data sets have for a class."""
    return SYNONYMS.get(name, name)


def is_of(model: Model, dataset: Dataset) -> bool:
    """Say whether the model's own probe was fitted to this data set, as far as its config says."""
    trained = model.config.training.labelled_dataset if model.config.training else ""
    return bool(model.classes) and dataset.classes == model.classes and dataset.name == trained


def accuracy(model: Model, pooled: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images that the own probe names right, given pooled features, float (N, F)."""
    return float((model.probe_logits(pooled).argmax(1) == labels).mean())


def add(
    evaluation: Evaluation,
    model: Model,
    test: Dataset,
    features: Features,
    unknown: Mapping[str, ImageArray],
    temperature: float | None,
) -> Evaluation:
    """Add to what was measured on `test` what the own probe makes of it, if the model has one.

    Args:
        evaluation: whose `shipped_probe` says whether the own probe was fitted to the like of `test`.
        model: any.
        test: labelled images.
        features: of them.
        unknown: pictures of none of the model's classes, by what they are.
        temperature: that the probe's logits have been divided by; None: unknown.
    """
    if not model.classes:
        return evaluation
    scores, labels = model.probe_logits(features.pooled), test.require_labels()
    answers = scores.argmax(1)
    if not evaluation.shipped_probe:
        return replace(evaluation, elsewhere=elsewhere(model, test, answers))
    return replace(
        evaluation,
        class_accuracy=recall(answers, labels, len(model.classes)),
        class_precision=precision(answers, labels, len(model.classes)),
        calibration=believed(scores, labels, temperature),
        recognition=recognition.measure(model, features, unknown) if model.recogniser else None,
    )


def recall(answers: np.ndarray, labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Return the share of each class's images that are named right; nothing where a class has no image.

    Args:
        answers: int (N,), classes that a probe named.
        labels: int (N,), the right ones.
        classes: their number.
    """
    return tuple(np.diag(shares).tolist()) if (shares := _shares(answers, labels, classes)) is not None else ()


def precision(answers: np.ndarray, labels: np.ndarray, classes: int) -> tuple[float | None, ...]:
    """Return how often each answer is right, were there as many images of each class; None of answers never given.

    With r(a | c) for the share of class c's images that get the answer a, the precision of a is r(a | a) divided by the
    sum of r(a | c) over all c. Among pictures of another mix it is another: where few show a class, fewer of the
    answers that name it are right. Arguments are those of `recall`; nothing comes back where a class has no image.
    """
    if (shares := _shares(answers, labels, classes)) is None:
        return ()
    given = shares.sum(0)  # of each answer, over classes
    return tuple(float(right / all_) if all_ else None for right, all_ in zip(np.diag(shares), given, strict=True))


def _shares(answers: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray | None:
    """Return the share of each class's images (rows) that get each answer (columns), or None where it has none."""
    counts = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    images = counts.sum(1, keepdims=True)
    return counts / images if images.all() else None


def believed(logits: np.ndarray, labels: np.ndarray, temperature: float | None) -> ProbeCalibration:
    """Return how far a probe's probabilities can be believed, now and before its logits were divided by `temperature`.

    Args:
        logits: float (N, C).
        labels: int (N,).
        temperature: None: unknown.
    """
    before = None if temperature is None else calibration.probe_error(logits * temperature, labels)
    return ProbeCalibration(calibration.probe_error(logits, labels), temperature, before)


def elsewhere(model: Model, dataset: Dataset, answers: np.ndarray) -> Elsewhere | None:
    """Measure the own probe on images of another data set that show classes of the model's.

    It may name any of its classes. CIFAR-10's "automobile" and STL-10's "car" are one class.

    Args:
        model: with a probe.
        dataset: labelled images.
        answers: int (N,), the classes that the probe named.

    Returns:
        what it named right, of the images whose class the model has; None where there are none.
    """
    names = [common_name(name) for name in dataset.classes]
    labels, right = dataset.require_labels(), {}
    images = 0
    for number, name in enumerate(model.classes):
        if (known := common_name(name)) in names:
            rows = labels == names.index(known)
            if rows.any():
                right[name], images = float((answers[rows] == number).mean()), images + int(rows.sum())
    return Elsewhere(images, float(np.mean([*right.values()])), right) if right else None
