"""Recipes and configs: what is refused, and the way through JSON and back."""

import dataclasses
import json

import pytest

from rrzoo import errors, zoo
from rrzoo.config import Architecture, ModelConfig, Recipe, Training, from_dict
from rrzoo.recipes import RECIPES, check, recipe
from rrzoo.store import model_folder

RECIPE = RECIPES["conv4-cifar10"]


@pytest.mark.parametrize("name", RECIPES)
def test_names_say_backbone_and_data(name: str) -> None:
    assert name.startswith(f"{RECIPES[name].backbone}-{RECIPES[name].dataset}")


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
    ],
)
def test_what_cannot_be_trained_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        check(dataclasses.replace(RECIPE, **change))


def config() -> ModelConfig:
    training = Training(RECIPE, "some images", "none", 10, 800, 1.5, "a machine", {"torch": "2"}, "2026-01-31")
    architecture = Architecture("conv4", 32, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), ("cat", "dog"))
    return ModelConfig("m", architecture, training, None, (0.0, 0.5, 1.0))


def test_round_trip_through_json() -> None:
    text = json.dumps(dataclasses.asdict(config()))
    assert from_dict(ModelConfig, json.loads(text)) == config()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["nmae"], "x", "unknown field 'nmae': did you mean name"),
        (["name"], 3, "ModelConfig.name is 3: str is needed"),
        (["architecture", "mean"], [0.1, 0.2], "mean has 2 values: 3 are needed"),
        (["architecture", "image_size"], 32.0, "image_size is 32.0: int is needed"),
        (["architecture", "image_size"], True, "image_size is True: int is needed"),
        (["architecture", "std"], [1.0, 1.0, float("inf")], r"std\[2\] is inf: a finite number"),
        (["architecture"], None, "architecture is None: an object"),
        (["random_pair_scores"], ["a"], r"random_pair_scores\[0\] is 'a': float is needed"),
    ],
)
def test_foreign_json_is_refused(path: list[str], value: object, message: str) -> None:
    data = json.loads(json.dumps(dataclasses.asdict(config())))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(errors.ArgumentError, match=message):
        from_dict(ModelConfig, data)


def test_accuracies_of_other_classes_are_refused() -> None:
    shipped = model_folder.read_config(zoo.SHIPPED / "conv4-cifar10")
    with pytest.raises(errors.ArgumentError, match="class_accuracy has 10 values: 2 classes"):
        dataclasses.replace(shipped, architecture=config().architecture)


def test_missing_field_is_refused() -> None:
    with pytest.raises(errors.ArgumentError, match="Recipe lacks the field 'image_size'"):
        from_dict(Recipe, {"backbone": "conv4", "dataset": "cifar10"})
