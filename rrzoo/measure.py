"""All that is measured of a trained model on a labelled data set, from features that are extracted once."""

from dataclasses import dataclass

import numpy as np

from rrzoo import evaluate
from rrzoo.datasets import Dataset
from rrzoo.model import Model
from rrzoo.retrieval import retrieval

NEIGHBOURS = (20, 200)
LABEL_SHARES = (0.01, 0.1)
DRAWS = 5  # of few labels


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) of shares, 0 to 1."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """Summarise at least two values."""
        return cls(float(values.mean()), float(values.std(ddof=1)), len(values))


@dataclass(frozen=True)
class Report:
    """What was measured. Accuracies, precisions and errors are shares, 0 to 1."""

    data: str  # the images, in words
    train_images: int
    test_images: int
    linear_probe: float  # its regulariser chosen on held-out training rows
    linear_probe_l2: float
    paper_probe: float  # Adam, 100 epochs
    knn: dict[str, float]  # by number of neighbours
    retrieval: dict[str, float]  # among the test images: map, precision@k
    few_labels: dict[str, Spread]  # linear probe by share of the training labels, over draws of them
    folds: Spread | None  # linear probes of the data set's own folds, if it has any; regulariser `PROBE_L2`


def measure(model: Model, train: Dataset, test: Dataset) -> Report:
    """Measure a model: probes and neighbours are fitted to `train`, and everything is measured on `test`.

    Raises:
        errors.DatasetError: a split has no labels.
    """
    train_features, test_features = model.features(train.images), model.features(test.images)
    data = train_features, train.known_labels, test_features, test.known_labels
    l2 = evaluate.choose_l2(*data[:2])
    return Report(
        data=f"{test.description}, {test.split} split",
        train_images=len(train),
        test_images=len(test),
        linear_probe=evaluate.linear_probe_accuracy(*data, l2=l2),
        linear_probe_l2=l2,
        paper_probe=evaluate.adam_probe_accuracy(*data),
        knn={str(k): evaluate.knn_accuracy(*data, k) for k in NEIGHBOURS},
        retrieval=retrieval(*data[2:]),
        few_labels={f"{share:.0%}": _few_labels(data, share) for share in LABEL_SHARES},
        folds=None if train.folds is None else Spread.of(evaluate.linear_probe_fold_accuracies(*data, train.folds)),
    )


def _few_labels(data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], share: float) -> Spread:
    """Fit probes to a share of the labels, each with a regulariser chosen within that share."""
    features, labels, test_features, test_labels = data
    accuracies = []
    for seed in range(DRAWS):
        rows = evaluate.few_labels(labels, share, seed)
        some, known = features[rows], labels[rows]
        l2 = evaluate.choose_l2(some, known)
        accuracies.append(evaluate.linear_probe_accuracy(some, known, test_features, test_labels, l2=l2))
    return Spread.of(np.array(accuracies))
