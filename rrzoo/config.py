"""All of `config.json`: what a model is, how it was trained, what was measured on it.

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

FORMAT = 1  # of config.json; a change that older code can't read raises it


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
    options: dict[str, float] | None = None  # of the pretext task, by name; None: the task's defaults

    @property
    def model_size(self) -> int:
        """Side of the images that the trained model takes, px."""
        return self.test_size or self.image_size


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
