"""What `evaluation.json` of a model folder holds: what was measured of a model, on one data set or on several.

Read and written as `config.json` is: dataclasses, and `recipes.from_dict`, which refuses what it does not know.
"""

from dataclasses import dataclass, field

import numpy as np

FORMAT = 1  # of evaluation.json


@dataclass(frozen=True)
class MeanStd:
    """Mean and standard deviation (n - 1) of shares, 0 to 1."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: np.ndarray) -> "MeanStd":
        """Summarise at least two values."""
        return cls(float(values.mean()), float(values.std(ddof=1)), len(values))


@dataclass(frozen=True)
class CalibrationBin:
    """Pairs whose relation scores fall into one range, of equal width for all bins."""

    pairs: int
    mean_score: float  # 0 to 1
    positive: float  # share of pairs that are of one image


@dataclass(frozen=True)
class RelationQuality:
    """How well relation scores separate pairs, and how far they can be read as probabilities."""

    auc_same_image: float  # two fresh views of one test image against views of two
    auc_same_class: float  # two test images of one class against two of different classes
    calibration_error: float  # expected, over the pairs of views, as many of one image as of two
    calibration: tuple[CalibrationBin, ...]  # bins that hold pairs, by score


@dataclass(frozen=True)
class FineTuned:
    """One fine-tuning."""

    accuracy: float
    images: int  # with labels
    epochs: int


@dataclass(frozen=True)
class Report:
    """What was measured on one data set. Accuracies, precisions and errors are shares, 0 to 1."""

    dataset: str  # a name that `datasets.load` knows
    data: str  # its images, in words
    split: str  # that was measured on
    trained_dataset: str  # likewise, of the images that the model was pre-trained on; "" if that is not known
    trained_on: str
    train_images: int
    test_images: int
    classes: int
    linear_probe: float  # its regulariser chosen on held-out training rows
    linear_probe_l2: float
    paper_probe: float  # Adam, 100 epochs
    knn: dict[str, float]  # by number of neighbours
    retrieval: dict[str, float]  # among the test images: map, precision@k
    few_labels: dict[str, MeanStd]  # linear probe by share of the training labels, over draws of them
    folds: MeanStd | None  # linear probes of the data set's own folds, if it has any
    reranked: dict[str, float] | None  # retrieval after the relation head has sorted the first 100 hits
    relation: RelationQuality | None  # None, as `reranked`, where the model has no relation head
    seconds: float  # that all this took
    fine_tuned: dict[str, FineTuned] = field(default_factory=dict)  # by share of the training labels

    @property
    def subject(self) -> str:
        """Say what was measured on, and what that is to the model."""
        measured = f"{self.data}, {self.split} split"
        if self.dataset == self.trained_dataset:
            return f"{measured}, the data set it was pre-trained on"
        if not self.trained_on:
            return measured
        if self.dataset.removesuffix("-20") == self.trained_dataset.removesuffix("-20"):
            return f"{measured}, the images it was pre-trained on with other classes"
        return f"transfer from {self.trained_on} to {measured}"


@dataclass(frozen=True)
class Reports:
    """All of `evaluation.json`."""

    weights: str  # SHA-256 of the model.safetensors that was measured
    reports: dict[str, Report]  # by name of the data set
    format: int = FORMAT
