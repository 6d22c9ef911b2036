"""Pictures of none of a model's classes, to measure whether it refuses them: made here, and from data sets at hand."""

import contextlib
from pathlib import Path

import numpy as np

from rrzoo import datasets, errors
from rrzoo.datasets import Dataset
from rrzoo.evaluation.own_probe import common_name
from rrzoo.images import ImageArray
from rrzoo.progress import WrapIterable

MADE = 500  # pictures of each kind that is made
SIDE = 96  # px

# Tiny-ImageNet's classes that show one of STL-10's or CIFAR-10's, or may be taken for it, or often have it beside them
TINY_LIKE = {
    "airplane": ("projectile",),
    "bird": ("goose", "black stork", "king penguin", "albatross"),
    "car": ("beach wagon", "convertible", "limousine", "sports car", "go-kart", "school bus", "trolleybus",
            "jinrikisha"),
    "cat": ("tabby", "Persian cat", "Egyptian cat", "cougar", "lion"),
    "deer": ("ox", "bison", "bighorn", "gazelle"),
    "dog": ("Chihuahua", "Yorkshire terrier", "golden retriever", "Labrador retriever", "German shepherd",
            "standard poodle"),
    "frog": ("bullfrog", "tailed frog"),
    "horse": ("Arabian camel", "jinrikisha"),
    "monkey": ("orangutan", "chimpanzee", "baboon"),
    "ship": ("gondola", "lifeboat", "lakeside", "seashore"),
    "truck": ("moving van", "police van", "freight car", "bullet train", "tractor", "crane", "school bus"),
}  # fmt: skip


def pictures(
    classes: tuple[str, ...], dataset: str, root: Path | None = None, decoding: WrapIterable | None = None
) -> dict[str, ImageArray]:
    """Return pictures that show none of a model's classes: what they are, in words -> images.

    Noise and single colours are made, clay figures ship with rrzoo. Photographs are of test splits of CIFAR-10, STL-10
    and Tiny-ImageNet, as far as they are at hand; none of the data set that the probe was fitted to.

    Args:
        classes: of the probe.
        dataset: name of the one that it was fitted to.
        root: folder that holds the data sets; default `datasets.data_root()`.
        decoding: wraps the files that are decoded.
    """
    random = np.random.default_rng(0)
    flat = random.integers(0, 256, (MADE, 1, 1, 3), dtype=np.uint8)
    found: dict[str, ImageArray] = {
        "noise": random.integers(0, 256, (MADE, SIDE, SIDE, 3), dtype=np.uint8),
        "single colours": np.broadcast_to(flat, (MADE, SIDE, SIDE, 3)).copy(),
    }
    known = {common_name(name) for name in classes}
    for name in ("clay10", "cifar10", "stl10", "tinyimagenet"):
        if name != dataset:
            with contextlib.suppress(errors.DatasetAbsentError):  # an evaluation names what it was measured on
                found |= _of(datasets.load(name, datasets.test_split(name), root, decoding), known)
    return found


def _of(test: Dataset, known: set[str]) -> dict[str, ImageArray]:
    """Return a data set's images of classes that are not `known`, and say what they are."""
    names = [common_name(name.partition(",")[0]) for name in test.classes]
    if test.name == "clay10":  # even of known classes these are no photographs
        return {f"{test.description}, of the same classes": test.images}
    if test.name == "tinyimagenet":
        if not known <= TINY_LIKE.keys():
            return {}  # nobody has looked which classes are alike
        known = {name for like in known for name in TINY_LIKE[like]}
    others = [number for number, name in enumerate(names) if name not in known]
    rows = np.flatnonzero(np.isin(test.require_labels(), others))
    if not len(rows):
        return {}
    few = names[others[0]] if len(others) == 1 else f"{len(others)} classes"
    return {f"{test.description}, {few}": test.images[rows]}
