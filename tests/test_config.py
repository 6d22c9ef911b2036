"""config.json: strict where something is computed from a field, forgiving where it is history; nothing is ever lost."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from rrzoo import errors, records
from rrzoo.config import Architecture, ModelConfig, Recipe, Training
from rrzoo.records import from_dict, to_dict
from rrzoo.store import card

RECIPE = Recipe("conv4", "cifar10", 32, test_size=48)
TRAINING = Training(RECIPE, "some images", "none", 10, 800, 1.5, "a machine", {"torch": "2"}, "2026-01-31", 3)
CONFIG = ModelConfig(
    "m", Architecture("conv4", 32, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), ("cat", "dog")), TRAINING, (0.0, 0.5, 1.0), "ours"
)
STRANGE = (None, True, -7, 0.5, float("nan"), 10**400, "text", "\ud800", [], ["x", 1], {}, {"a": {"b": None}})

Place = tuple[str, ...]


def json_of(config: ModelConfig) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(to_dict(config)))
    return data


def changed(place: Place, value: object) -> dict[str, Any]:
    """Return the JSON of a config with one value changed, or taken out if it is ...."""
    data = json_of(CONFIG)
    parent = data
    for key in place[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return data


def places(data: dict[str, Any], above: Place = ()) -> Iterator[Place]:
    for key, value in data.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


HISTORY = [place for place in places(json_of(CONFIG)) if place[0] in ("training", "origin")]
HISTORY += [("later",), ("training", "later"), ("training", "recipe", "later"), ("training", "versions", "later")]


def test_round_trip_through_json() -> None:
    text = records.to_json(CONFIG)
    assert from_dict(ModelConfig, json.loads(text)) == CONFIG


@pytest.mark.parametrize("place", HISTORY, ids=".".join)
def test_history_may_be_anything(place: Place) -> None:
    """A field less, a field more, or a value of another form: the model loads, its card renders, nothing is lost."""
    for value in (*STRANGE, *([...] if "later" not in place else [])):
        data = changed(place, value)
        config = from_dict(ModelConfig, data)
        assert config.architecture == CONFIG.architecture
        assert "None" not in card.render(config)
        assert same(to_dict(config), data)
        assert same(to_dict(dataclasses.replace(config, name="other")), data | {"name": "other"})


def same(one: object, other: object) -> bool:
    """Compare JSON values; here NaN equals itself."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_what_is_set_anew_replaces_what_could_not_be_read() -> None:
    config = from_dict(ModelConfig, changed(("training", "minutes"), "long"))
    assert config.training is not None
    assert config.training.minutes is None
    training = dataclasses.replace(config.training, minutes=2.5)
    assert to_dict(dataclasses.replace(config, training=training))["training"]["minutes"] == 2.5


def test_a_recipe_is_known_whole_or_not_at_all() -> None:
    """A default in place of a value that can't be read would be a claim."""
    config = from_dict(ModelConfig, changed(("training", "recipe", "views"), "many"))
    assert config.training == dataclasses.replace(TRAINING, recipe=None)
    text = card.render(config)
    assert "K = " not in text
    assert "| images | 10 of some images |" in text


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("name",), 3, "ModelConfig.name is 3: str is needed"),
        (("name",), ..., "ModelConfig lacks the field 'name'"),
        (("name",), "\ud800", "text that can be encoded is needed"),
        (("architecture",), ..., "ModelConfig lacks the field 'architecture'"),
        (("architecture",), None, "architecture is None: an object"),
        (("architecture", "backbone"), ..., "architecture lacks the field 'backbone'"),
        (("architecture", "imagesize"), 3, "unknown field 'imagesize': did you mean image_size.*upgrade"),
        (("architecture", "mean"), [0.1, 0.2], "mean has 2 values: 3 are needed"),
        (("architecture", "mean"), ..., "architecture lacks the field 'mean'"),
        (("architecture", "image_size"), 32.0, "image_size is 32.0: int is needed"),
        (("architecture", "image_size"), True, "image_size is True: int is needed"),
        (("architecture", "image_size"), -1, "image_size is -1: 1 to 4096 px"),
        (("architecture", "image_size"), 10**400, r"image_size is 1000.*: int is needed"),
        (("architecture", "std"), [1.0, 1.0, float("inf")], r"std\[2\] is inf: a finite number"),
        (("architecture", "std"), [1.0, 1.0, 10**400], r"std\[2\] is 1000.*: a finite number"),
        (("architecture", "std"), [1.0, 0.0, 1.0], "values above 0 are needed"),
        (("architecture", "classes"), "cat", "classes is 'cat': tuple"),
        (("architecture", "source_size"), 0, "source_size is 0: 1 to 4096 px"),
        (("architecture", "source_size"), 10**9, "source_size is 1000000000: 1 to 4096 px"),
        (("architecture", "source_size"), 32.5, "source_size is 32.5: int is needed"),
        (("architecture", "pooling"), 0, "pooling is 0: 1 to 8"),
        (("architecture", "pooling"), 9, "pooling is 9: 1 to 8"),
        (("architecture", "pooling"), None, "pooling is None: int"),
        (("architecture", "mirror"), 1, "mirror is 1: bool"),
        (("architecture", "zooms"), [], r"zooms is \(\): 1 to 8 shares"),
        (("architecture", "zooms"), [1.0] * 9, "zooms is .*: 1 to 8 shares"),
        (("architecture", "zooms"), [1.0, 0.0], "zooms is .*: 1 to 8 shares"),
        (("architecture", "zooms"), [1.0, 1.5], "zooms is .*: 1 to 8 shares"),
        (("architecture", "zooms"), [float("nan")], r"zooms\[0\] is nan: a finite number"),
        (("architecture", "zooms"), 1.0, "zooms is 1.0: tuple"),
        (("architecture", "embedding_size"), 0, "embedding_size is 0: at least 1"),
        (("architecture", "embedding_size"), "64", "embedding_size is '64': int"),
        (("random_pair_scores",), ["a"], r"random_pair_scores\[0\] is 'a': float is needed"),
        (("random_pair_scores",), None, "random_pair_scores is None"),
        (("format",), "1", "format is '1': int is needed"),
    ],
    ids=lambda part: f"{part!r:.40}",
)
def test_what_inference_needs_is_strict(place: Place, value: object, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        from_dict(ModelConfig, changed(place, value))


def test_a_recipe_alone_is_strict() -> None:
    """As a checkpoint has it: a run goes on with the recipe that it was started with."""
    whole = dataclasses.asdict(RECIPE)
    assert from_dict(Recipe, whole) == RECIPE
    with pytest.raises(errors.ArgumentError, match="Recipe lacks the field 'image_size'"):
        from_dict(Recipe, {"backbone": "conv4", "dataset": "cifar10"})
    with pytest.raises(errors.ArgumentError, match="Recipe has the unknown field 'later'"):
        from_dict(Recipe, whole | {"later": 1})
    with pytest.raises(errors.ArgumentError, match=r"Recipe\.views is 'many'"):
        from_dict(Recipe, whole | {"views": "many"})
