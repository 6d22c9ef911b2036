"""How each model of the zoo is trained: one table, name -> recipe, and what a recipe has to keep to."""

import math
from dataclasses import replace
from typing import Any

from rrzoo import backbones, errors, features, optimisers, pretext
from rrzoo.backbones import SMALLEST_INPUT
from rrzoo.config import FROZEN, Recipe
from rrzoo.relation import AGGREGATIONS, LOSSES


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


def _long(backbone: str, dataset: str, image_size: int, epochs: int, **options: Any) -> Recipe:
    """Return the recipe of a model for photographs: many views of each image, large batches, Muon."""
    return Recipe(
        backbone,
        dataset,
        image_size,
        views=16,
        batch_size=128,
        epochs=epochs,
        loss="bce",
        optimizer="muon",
        learning_rate=0.02,
        decay_start=0.3,
        pooling=3,
        mirror=True,
        zooms=(1.0, 0.8),
        embedding_size=128,
        **options,
    )


def _photographs(backbone: str, image_size: int, epochs: int) -> Recipe:
    """Return the recipe of a model that is measured on STL-10: small views, since width pays more than sharpness."""
    return _long(
        backbone,
        "stl10",
        image_size,
        epochs,
        split="unlabeled",
        labelled="stl10",
        substitute="tinyimagenet",
        test_size=96,
    )


RECIPES: dict[str, Recipe] = {
    "conv4-cifar10": _long("conv4", "cifar10", 32, 6, test_size=48, source_size=32),
    "conv4x4-cifar10": _long("conv4x4", "cifar10", 32, 4, test_size=48, source_size=32),
    "conv4-cifar10-paper": Recipe("conv4", "cifar10", 32),
    "resnet32-cifar10-paper": Recipe("resnet32", "cifar10", 32),
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
    # where STL-10's unlabelled images are not at hand, Tiny-ImageNet's are taken. An article's conv4 and resnet34, with
    # K = 16, M = 64, 10 epochs and Adam at 1e-3, reach 49.98% and 55.38% on STL-10's test images by its account
    "conv4-stl10": _photographs("conv4", 32, 2),
    "conv4x4-stl10": _photographs("conv4x4", 32, 3),
    "resnet34-stl10": Recipe("resnet34", "stl10", 96, split="unlabeled", views=16, epochs=10, loss="bce"),
    # measured: see docs/backbones.md
    "lite0-stl10": Recipe(
        "timm:tf_efficientnet_lite0",
        "stl10",
        160,
        views=6,
        epochs=60,
        loss="bce",
        learning_rate=3e-3,
        decay_start=0.5,
        weights="package",
        freeze="all",
        embedding_size=128,  # of 1,280 features: a gallery of STL-10 would take 33 MB
    ),
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


def own_pictures(backbone: str, dataset: str, count: int) -> Recipe:
    """Return the recipe by which a backbone learns from nothing from a folder of `count` pictures of anybody's.

    It is that of the models for photographs; few pictures make smaller batches, of which there are at least four.
    """
    chosen = _long(backbone, dataset, 32, 200, test_size=96)
    return replace(chosen, batch_size=min(chosen.batch_size, max(2, count // 5)))


def head_of_own_pictures(dataset: str, count: int) -> Recipe:
    """Return the recipe by which a head learns from `count` pictures of anybody's, on what lite0-stl10 stands on."""
    borrowed = RECIPES["lite0-stl10"]
    known = backbones.preparation(borrowed.backbone)
    return replace(
        borrowed,
        dataset=dataset,
        crop=known.crop,
        interpolation=known.interpolation,
        batch_size=min(64, max(16, count // 4)),
        embedding_size=None,
    )


def check(recipe: Recipe) -> Recipe:
    """Return a recipe that can be trained.

    Raises:
        errors.ArgumentError: a field is outside what is allowed; the message names it.
    """
    backbones.check_name(recipe.backbone)
    for field, known in (
        ("loss", LOSSES),
        ("optimizer", optimisers.OPTIMISERS),
        ("aggregation", AGGREGATIONS),
        ("pretext", pretext.TASKS),
        ("freeze", FROZEN),
    ):
        chosen = getattr(recipe, field)
        if chosen not in known:
            what = {"pretext": "pretext task", "freeze": "part to freeze"}.get(field, field)
            raise errors.ArgumentError(f"no {what} is called {chosen!r}: {errors.choices(chosen, known)}")
    task = pretext.TASKS[recipe.pretext]
    task.read_options(recipe)
    _at_least("views", recipe.views, task.least_views, task.why_least_views)
    _at_least("batch_size", recipe.batch_size, 2, "negative pairs need a second image")
    _at_least("image_size", recipe.image_size, SMALLEST_INPUT, "the backbones halve the image three times")
    _at_least("test_size", recipe.model_size, SMALLEST_INPUT, "the backbones halve the image three times")
    if recipe.embedding_size is not None:  # to build a backbone takes a moment
        features.pooled_size(recipe, backbones.create(recipe.backbone).feature_size)
    _at_least("seed", recipe.seed, 0, "a seed is a count")
    if recipe.pretext == "random" and recipe.epochs:
        raise errors.ArgumentError(f"epochs is {recipe.epochs}: random weights are not trained, in 0 epochs")
    if recipe.pretext != "random":
        _at_least("epochs", recipe.epochs, 1, "nothing would be trained")
    if not (math.isfinite(recipe.learning_rate) and recipe.learning_rate > 0):
        raise errors.ArgumentError(f"learning_rate is {recipe.learning_rate}: it must be a positive number")
    if recipe.freeze == "all" and (recipe.weights is None or recipe.pretext != "relation"):
        raise errors.ArgumentError(
            f"freeze is all, weights are {recipe.weights}, the pretext task is {recipe.pretext}: a frozen backbone "
            "needs weights, and its head learns by the task relation"
        )
    if recipe.weights is not None and not backbones.is_borrowed(recipe.backbone):
        raise errors.ArgumentError(
            f"{recipe.backbone} starts from random weights: name a backbone of timm's, timm:NAME"
        )
    if not 0 <= recipe.decay_start <= 1:
        raise errors.ArgumentError(f"decay_start is {recipe.decay_start}: it is a share of the steps, 0 to 1")
    return recipe


def _at_least(field: str, value: int, low: int, why: str) -> None:
    if value < low:
        raise errors.ArgumentError(f"{field} is {value}: at least {low} is needed, since {why}")
