"""What a model is, how it is trained, what was measured on it: frozen dataclasses, and the table of recipes.

Every dataclass here turns into a dict of JSON values with `dataclasses.asdict` and comes back with `from_dict`, which
refuses unknown, missing and mistyped fields: a `config.json` is read strictly or not at all.
"""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

from rrzoo import errors
from rrzoo.adam import Adam
from rrzoo.backbones import BACKBONES
from rrzoo.muon import Muon
from rrzoo.relation import AGGREGATIONS, LOSSES

FORMAT = 1  # of config.json; a change that older code can't read raises it
SMALLEST_INPUT = 8  # px, side of what a backbone takes
PRETEXTS = {  # pretext task, one of `rrzoo.pretext.TASKS` -> the fewest views K of an image that it can use, and why
    "relation": (2, "a relation needs two views of an image"),
    "simclr": (2, "SimCLR contrasts views of an image"),
    "rotation": (4, "a view is turned four ways"),
    "relpos": (9, "patches are cut on a grid of 3 x 3"),
    "jigsaw": (9, "the puzzle has nine tiles"),
    "colorization": (1, "an image has to be seen"),
    "counting": (5, "four tiles count what the image counts"),
    "deepcluster": (1, "an image has to be seen"),
    "dim": (1, "an image has to be seen"),
    "supervised": (1, "an image has to be seen"),
    "random": (1, "an image has to be seen"),
}


OPTIMIZERS: dict[str, type[Adam] | type[Muon]] = {"adam": Adam, "muon": Muon}


@dataclass(frozen=True)
class Recipe:
    """How a backbone is pre-trained. Defaults are the paper's (arXiv 2006.05849, section 4)."""

    backbone: str
    dataset: str
    image_size: int  # px, side of the square views
    split: str = "train"  # of the data set
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

    def __post_init__(self) -> None:
        """Refuse what can't be trained."""
        if self.backbone not in BACKBONES:
            raise errors.ArgumentError(
                f"no backbone is called {self.backbone!r}: {errors.choices(self.backbone, BACKBONES)}"
            )
        if self.loss not in LOSSES:
            raise errors.ArgumentError(f"no loss is called {self.loss!r}: {errors.choices(self.loss, LOSSES)}")
        if self.optimizer not in OPTIMIZERS:
            raise errors.ArgumentError(
                f"no optimizer is called {self.optimizer!r}: {errors.choices(self.optimizer, OPTIMIZERS)}"
            )
        if self.aggregation not in AGGREGATIONS:
            raise errors.ArgumentError(
                f"no aggregation is called {self.aggregation!r}: {errors.choices(self.aggregation, AGGREGATIONS)}"
            )
        if self.pretext not in PRETEXTS:
            raise errors.ArgumentError(
                f"no pretext task is called {self.pretext!r}: {errors.choices(self.pretext, PRETEXTS)}"
            )
        at_least("views", self.views, *PRETEXTS[self.pretext])
        at_least("batch_size", self.batch_size, 2, "negative pairs need a second image")
        at_least("image_size", self.image_size, SMALLEST_INPUT, "the backbones halve the image three times")
        if self.test_size is not None:
            at_least("test_size", self.test_size, SMALLEST_INPUT, "the backbones halve the image three times")
        if self.pretext == "random" and self.epochs:
            raise errors.ArgumentError(f"epochs is {self.epochs}: random weights are not trained, in 0 epochs")
        if self.pretext != "random":
            at_least("epochs", self.epochs, 1, "nothing would be trained")
        at_least("seed", self.seed, 0, "a seed is a count")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise errors.ArgumentError(f"learning_rate is {self.learning_rate}: it must be a positive number")
        if not 0 <= self.decay_start <= 1:
            raise errors.ArgumentError(f"decay_start is {self.decay_start}: it is a share of the steps, 0 to 1")

    @property
    def model_size(self) -> int:
        """Side of the images that the trained model takes, px."""
        return self.test_size or self.image_size


def at_least(field: str, value: int, low: int, why: str) -> None:
    """Raise `errors.ArgumentError` if `value` is below `low`."""
    if value < low:
        raise errors.ArgumentError(f"{field} is {value}: at least {low} is needed, since {why}")


def _compared(pretext: str, views: int, batch_size: int, epochs: int) -> Recipe:
    """Return the recipe of a task that is compared: of about 512 views a step and 4 million in all, whatever its K."""
    return Recipe(
        "conv4",
        "cifar10",
        32,
        pretext=pretext,
        views=views,
        batch_size=batch_size,
        epochs=epochs,
        loss="bce",
        learning_rate=3e-3,
    )


RECIPES: dict[str, Recipe] = {
    "conv4-cifar10": Recipe(
        # ten minutes on two cores. Probes after 1.5 million views of 32 px, in percent, n = 1: Muon's rates of 0.01,
        # 0.02, 0.05, 0.1: 57.1, 58.1 (another seed: 57.1), 55.0, 52.2; Adam, M of 16, 32, 64 and 128: 53.2, 54.4, 52.4,
        # 51.0. Another run at 0.02, images of 32, 48, 64 px: 57.4, 60.3, 59.3. Views of 48 px, images of 48, 60, 72 px:
        # 58.9, 59.9, 60.8
        "conv4",
        "cifar10",
        48,
        views=8,
        batch_size=32,
        epochs=10,
        loss="bce",
        optimizer="muon",
        learning_rate=0.02,
        decay_start=0.3,
        test_size=72,
    ),
    "conv4-cifar10-paper": Recipe("conv4", "cifar10", 32),
    "conv4-cifar10-relation": _compared("relation", views=8, batch_size=64, epochs=10),
    "conv4-cifar10-simclr": _compared("simclr", views=2, batch_size=256, epochs=40),
    "conv4-cifar10-rotation": _compared("rotation", views=4, batch_size=128, epochs=20),
    "conv4-cifar10-relpos": _compared("relpos", views=9, batch_size=64, epochs=9),
    "conv4-cifar10-jigsaw": _compared("jigsaw", views=9, batch_size=64, epochs=9),
    "conv4-cifar10-colorization": _compared("colorization", views=1, batch_size=512, epochs=80),
    "conv4-cifar10-counting": _compared("counting", views=5, batch_size=96, epochs=16),
    "conv4-cifar10-deepcluster": _compared("deepcluster", views=4, batch_size=128, epochs=20),
    "conv4-cifar10-dim": _compared("dim", views=1, batch_size=512, epochs=80),
    "conv4-cifar10-supervised": _compared("supervised", views=1, batch_size=512, epochs=80),
    "conv4-cifar10-random": _compared("random", views=1, batch_size=64, epochs=0),
    "resnet8-cifar10": Recipe(
        "resnet8",
        "cifar10",
        32,
        views=8,
        batch_size=32,
        epochs=4,
        loss="bce",
        optimizer="muon",
        learning_rate=0.02,
        decay_start=0.3,
    ),
    "conv4-cifar100": Recipe(
        "conv4", "cifar100", 32, views=8, batch_size=32, epochs=19, loss="bce", learning_rate=3e-3, decay_start=0.3
    ),
    "conv4-tinyimagenet": Recipe(
        "conv4", "tinyimagenet", 64, views=8, batch_size=32, epochs=4, loss="bce", learning_rate=3e-3, decay_start=0.3
    ),
    # an article's: K = 16, M = 64, 10 epochs, Adam at 1e-3; 49.98% and 55.38% on STL-10's test images by its account
    "conv4-stl10": Recipe("conv4", "stl10", 96, split="unlabeled", views=16, epochs=10, loss="bce"),
    "resnet34-stl10": Recipe("resnet34", "stl10", 96, split="unlabeled", views=16, epochs=10, loss="bce"),
    "conv4-clay10": Recipe("conv4", "clay10", 32, views=8, epochs=100, loss="bce", learning_rate=3e-3, decay_start=0.3),
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a model.

    Raises:
        errors.UnknownModelError: there is none of that name; the message offers close matches.
    """
    if name not in RECIPES:
        raise errors.UnknownModelError(f"no recipe is called {name!r}: {errors.choices(name, RECIPES)}")
    return RECIPES[name]


@dataclass(frozen=True)
class Architecture:
    """What a model is: enough to build it and to prepare images for it."""

    backbone: str
    image_size: int  # px
    mean: tuple[float, float, float]  # of red, green, blue in 0..1, subtracted
    std: tuple[float, float, float]  # divided by
    classes: tuple[str, ...] = ()  # of the linear probe, in the order of its outputs; empty: no probe
    aggregation: str | None = "cat"  # how the relation head joins two features; None: the model has no relation head


@dataclass(frozen=True)
class Training:
    """What the weights have seen."""

    recipe: Recipe
    data: str  # the images, in words
    licence: str  # of the images
    images: int  # different ones
    views_seen: int
    minutes: float  # wall time of pre-training
    machine: str
    versions: dict[str, str]
    date: str  # ISO 8601
    epochs_done: int | None = None  # whole ones, where training was stopped before the recipe's epochs; else None

    @property
    def origin(self) -> str:
        """Say in words where the weights come from."""
        if self.recipe.pretext == "random":
            return "random weights, not trained"
        how = "" if self.recipe.pretext in ("relation", "supervised") else f" by the task {self.recipe.pretext}"
        return f"trained {self.labels} on {self.data}{how}"

    @property
    def labels(self) -> str:
        """Say whether the labels were used."""
        return "with labels" if self.recipe.pretext == "supervised" else "without labels"


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and on what. Accuracies are shares of the test images, 0 to 1."""

    data: str  # the images, in words
    train_images: int
    test_images: int
    linear_probe: float
    knn: float
    random_weights_linear_probe: float
    random_weights_knn: float
    raw_pixels_linear_probe: float
    raw_pixels_knn: float
    # relation score, area under ROC; None: the model has no relation head
    auc_same_image: float | None  # two views of one test image against views of two
    auc_same_class: float | None  # two test images of one class against two of different classes
    seeds: int  # number of pre-trainings behind the figures
    class_accuracy: tuple[float, ...] = ()  # linear probe, on the test images of each class; empty: unknown


@dataclass(frozen=True)
class ModelConfig:
    """All of `config.json`."""

    name: str
    architecture: Architecture
    training: Training | None = None
    evaluation: Evaluation | None = None
    # relation scores of random pairs of test images, their 0th to 100th percentile: what a score is compared with
    random_pair_scores: tuple[float, ...] = ()
    origin: str = ""  # where weights that rrzoo has not trained come from, in words
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse accuracies of other classes than those of the architecture."""
        known, classes = self.evaluation.class_accuracy if self.evaluation else (), self.architecture.classes
        if known and len(known) != len(classes):
            raise errors.ArgumentError(f"class_accuracy has {len(known)} values: {len(classes)} classes are listed")


T = TypeVar("T")


def from_dict(kind: type[T], data: object, where: str = "") -> T:
    """Build the dataclass `kind` from JSON values, strictly.

    Raises:
        errors.ArgumentError: a field is unknown, missing or of another type; the message names it.
    """
    where = where or kind.__name__
    if not isinstance(data, dict):
        raise errors.ArgumentError(f"{where} is {data!r:.60}: an object is needed")
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    if unknown := sorted(map(str, data.keys() - fields.keys())):
        raise errors.ArgumentError(
            f"{where} has the unknown field {unknown[0]!r}: {errors.choices(unknown[0], fields)}"
        )
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _value(hints[name], data[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING:
            raise errors.ArgumentError(f"{where} lacks the field {name!r}")
    return kind(**values)


def _value(kind: Any, value: object, where: str) -> Any:
    """Return `value` as `kind`: a scalar, a dataclass, or tuple, dict and union of such."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # only `X | None` is used here
        return None if value is None else _value(arguments[0], value, where)
    if dataclasses.is_dataclass(kind):
        return from_dict(typing.cast(type, kind), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise errors.ArgumentError(f"{where} has {len(value)} values: {len(arguments)} are needed")
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {str(key): _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise errors.ArgumentError(f"{where} is {value}: a finite number is needed")
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise errors.ArgumentError(f"{where} is {value!r:.60}: {getattr(kind, '__name__', kind)} is needed")
