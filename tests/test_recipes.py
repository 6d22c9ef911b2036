"""Recipes: what the table holds, and what is refused."""

import dataclasses

import pytest

from rrzoo import errors
from rrzoo.recipes import RECIPES, check, recipe

RECIPE = RECIPES["conv4-cifar10"]


@pytest.mark.parametrize("name", RECIPES)
def test_names_say_backbone_and_data(name: str) -> None:
    backbone = RECIPES[name].backbone.removeprefix("timm:tf_efficientnet_")
    assert name.startswith(f"{backbone}-{RECIPES[name].dataset}")


def test_unknown_name_offers_close_matches() -> None:
    with pytest.raises(errors.UnknownModelError, match=r"'conv4-cifar'.*did you mean conv4-cifar10"):
        recipe("conv4-cifar")


def test_the_papers_recipe_is_the_papers() -> None:
    """Section 4 and the published code: K = 32, M = 64, 200 epochs, Adam at a constant 1e-3, focal loss, cat."""
    paper = recipe("conv4-cifar10-paper")
    assert (paper.views, paper.batch_size, paper.epochs) == (32, 64, 200)
    assert (paper.learning_rate, paper.decay_start, paper.loss, paper.aggregation) == (1e-3, 1.0, "focal", "cat")
    assert paper.optimizer == "adam"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 1}, "views is 1: at least 2"),
        ({"batch_size": 1}, "batch_size is 1: at least 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"image_size": 4}, "image_size is 4"),
        ({"test_size": 4}, "test_size is 4"),
        ({"seed": -1}, "seed is -1"),
        ({"loss": "bec"}, "'bec'.*did you mean bce"),
        ({"optimizer": "moun"}, "'moun'.*did you mean muon"),
        ({"backbone": "conv5"}, "'conv5'.*did you mean conv4"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"decay_start": 1.5}, "decay_start is 1.5"),
        ({"pooling": 9}, "pooling is 9: 1 to 8"),
        ({"pooling": 2, "embedding_size": 257}, "embedding_size is 257: 256 features"),
    ],
)
def test_what_cannot_be_trained_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        check(dataclasses.replace(RECIPE, **change))
