"""What a model's evaluation.json holds: what was measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rrzoo.records import History

EVALUATION_FORMAT = 2  # of evaluation.json


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

    auc_same_image: float  # area under ROC: two fresh views of one test image against views of two
    auc_same_class: float  # two test images of one class against two of different classes
    calibration_error: float | None = None  # expected, over the pairs of views, as many of one image as of two
    calibration: tuple[CalibrationBin, ...] = ()  # bins that hold pairs, by score


@dataclass(frozen=True)
class FineTuned:
    """One fine-tuning."""

    accuracy: float
    images: int  # with labels
    epochs: int


@dataclass(frozen=True)
class Untrained:
    """What needs no pre-training, to compare with: accuracies, shares of the test images."""

    random_weights_linear_probe: float
    random_weights_knn: float  # 20 neighbours
    raw_pixels_linear_probe: float
    raw_pixels_knn: float
    random_weights_paper_probe: float | None = None
    raw_pixels_paper_probe: float | None = None


@dataclass(frozen=True)
class ProbeCalibration:
    """How far the probe's probabilities can be believed: expected calibration errors of its first guesses, 15 bins."""

    error: float
    temperature: float | None = None  # that its logits were divided by, which is folded into its weights; None: unknown
    error_before: float | None = None  # of the logits before that


@dataclass(frozen=True)
class Elsewhere:
    """What the model's own probe, fitted to other images, makes of these: those of the classes that it knows."""

    images: int
    accuracy: float  # mean over classes
    class_accuracy: dict[str, float] = field(default_factory=dict)  # by the model's name of the class


@dataclass(frozen=True)
class Refused:
    """Pictures of none of the model's classes."""

    images: int
    refused: float  # share that the model does not recognise, which is right
    auc: float  # area under ROC: how often one is less familiar to the model than a test image is


@dataclass(frozen=True)
class Recognition:
    """How well the model tells what it knows from what it does not."""

    refused: float  # share of the test images that the model does not recognise, which is wrong
    unknown: dict[str, Refused] = field(default_factory=dict)  # by what the pictures are, in words


@dataclass(frozen=True)
class Evaluation(History):
    """What was measured on one data set. Accuracies, precisions and errors are shares of the test images, 0 to 1."""

    dataset: str  # a name that `datasets.load` knows
    data: str  # its images, in words
    split: str  # that was measured on
    train_images: int  # labelled, that probes and neighbours were fitted to
    test_images: int
    classes: int
    linear_probe: float
    linear_probe_l2: float | None = None
    shipped_probe: bool = False  # the probe is the one in the model, which `classify` uses; else one fitted to measure
    class_accuracy: tuple[float, ...] = ()  # of the probe, on the images of each class (recall); empty: unknown
    # of the probe: how often its answer is right, by answer, were there as many images of each class; None: never given
    class_precision: tuple[float | None, ...] = ()
    calibration: ProbeCalibration | None = None  # of the probe in the model, as are the next two
    elsewhere: Elsewhere | None = None  # where that probe was fitted to other images
    recognition: Recognition | None = None
    knn: dict[str, float] = field(default_factory=dict)  # by number of neighbours
    relation: RelationQuality | None = None  # None, as `reranked`, where the model has no relation head
    untrained: Untrained | None = None
    paper_probe: float | None = None  # Adam, 100 epochs, on the features that the relation head takes
    retrieval: dict[str, float] = field(default_factory=dict)  # among the test images: map, precision@k
    reranked: dict[str, float] | None = None  # retrieval after the relation head has sorted the first 100 hits
    few_labels: dict[str, MeanStd] = field(default_factory=dict)  # linear probe by share of the training labels
    folds: MeanStd | None = None  # linear probes of the data set's own folds, if it has any
    fine_tuned: dict[str, FineTuned] = field(default_factory=dict)  # by share of the training labels
    seeds: int = 1  # number of pre-trainings behind the figures
    seconds: float | None = None  # that measuring took

    @property
    def images(self) -> str:
        """The test images, in words."""
        return f"{self.data}, {self.split} split"


@dataclass(frozen=True)
class WithoutLabels(History):
    """What was measured on held-out images of which nobody has said what they show."""

    data: str  # the images, in words
    images: int
    half_found: float  # share of images whose left half finds its right half first, among those of all: see the module
    uniformity: float  # of the embeddings, Wang & Isola 2020: 0 where all are alike, the lower the more spread
    auc_same_image: float | None = None  # these three as in `RelationQuality`; None without a relation head
    calibration_error: float | None = None
    calibration: tuple[CalibrationBin, ...] = ()


@dataclass(frozen=True)
class Evaluations(History):
    """All of `evaluation.json`."""

    STRICT: ClassVar = ("format",)

    weights: str  # SHA-256 of the model.safetensors that was measured
    evaluations: dict[str, Evaluation] = field(default_factory=dict)  # by name of the data set
    without_labels: WithoutLabels | None = None  # of a model whose own images have none
    format: int = EVALUATION_FORMAT
    as_read: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
