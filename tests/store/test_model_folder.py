"""Model folders: there and back, and everything that can be wrong with one."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import rrzoo
from rrzoo import errors, zoo
from rrzoo.config import Architecture, ModelConfig
from rrzoo.store import card, evaluation_file, golden, model_folder
from rrzoo.store.load import load
from rrzoo.store.save import save

SHIPPED = sorted(path.name for path in zoo.SHIPPED.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model."""
    return Path(shutil.copytree(zoo.SHIPPED / "conv4-cifar10", tmp_path / "copy"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_compute_what_they_did_when_exported(name: str) -> None:
    assert golden.verify(zoo.SHIPPED / name) <= 1e-5


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cards_are_those_of_their_configs(name: str) -> None:
    config = model_folder.read_config(zoo.SHIPPED / name)
    evaluations = evaluation_file.read(zoo.SHIPPED / name, config)
    assert evaluations is not None
    assert (zoo.SHIPPED / name / "README.md").read_text() == card.render(config, evaluations.evaluations)
    assert config.name == name
    assert not list((zoo.SHIPPED / name).glob("*.p*"))  # no pickle: .pt, .pth, .pkl


def test_there_and_back(model: rrzoo.Model, tmp_path: Path, random: np.random.Generator) -> None:
    save(model, tmp_path / "saved")
    again = rrzoo.load(f"dir:{tmp_path / 'saved'}")
    assert again.config == model.config
    assert again.fingerprint == model.fingerprint
    images = list(random.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    np.testing.assert_array_equal(again.classify(images), model.classify(images))
    assert golden.verify(tmp_path / "saved") == 0


def test_a_model_without_a_probe(tmp_path: Path) -> None:
    bare = rrzoo.Model(ModelConfig("bare", Architecture("resnet8", 32, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))))
    save(bare, tmp_path / "bare")
    again = load(tmp_path / "bare")
    with pytest.raises(errors.ArgumentError, match="bare has no linear probe"):
        again.classify(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(errors.ArgumentError, match="without scores of random pairs"):
        again.relation_percentile(np.array([0.5]))


def test_nothing_is_overwritten_and_nothing_left_half_written(
    model: rrzoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(model, tmp_path / "m")
    with pytest.raises(errors.ModelFolderError, match="already there"):
        save(model, tmp_path / "m")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(model_folder, "write_manifest", full)
    with pytest.raises(errors.ModelFolderError, match="no space"):
        save(model, tmp_path / "n")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def rewrite(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Put tensors into the weights, or take them out."""
    kept = load_file(folder / "model.safetensors") | tensors
    save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, folder / "model.safetensors")


def edit(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))


def edit_architecture(folder: Path, **fields: object) -> None:
    edit(folder, architecture=json.loads((folder / "config.json").read_text())["architecture"] | fields)


def truncate(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json: it is not a model folder"),
    "config cut": (lambda f: truncate(f, "config.json"), "config.json can't be read"),
    "config of lists": (lambda f: (f / "config.json").write_text("[]"), "an object is needed"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json can't be read"),
    "newer format": (lambda f: edit(f, format=99), "format 99, this version reads 1: upgrade rrzoo"),
    "no image": (lambda f: edit_architecture(f, image_size=0), "image_size is 0: 1 to 4096 px"),
    "a giant image": (lambda f: edit_architecture(f, image_size=10**9), "image_size is 1000000000"),
    "division by zero": (lambda f: edit_architecture(f, std=[0.2, 0, 0.2]), "values above 0 are needed"),
    "unknown field": (lambda f: edit_architecture(f, widths=3), "unknown field 'widths'.*If a newer rrzoo wrote it"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "weights cut": (lambda f: truncate(f, "model.safetensors"), "cut short or no safetensors file"),
    "weights a page": (lambda f: (f / "model.safetensors").write_text("<html>"), "cut short or no safetensors file"),
    "a pickle": (lambda f: torch.save({}, f / "model.safetensors"), "cut short or no safetensors file"),
    "foreign weights": (lambda f: save_file({"x": torch.ones(2)}, f / "model.safetensors"), "are not of one model"),
    "a tensor more": (lambda f: rewrite(f, extra=torch.ones(2)), "are not of one model"),
    "a tensor less": (lambda f: rewrite(f, **{"probe.bias": None}), "are not of one model"),
    "another shape": (lambda f: rewrite(f, **{"probe.bias": torch.ones(3)}), "are not of one model"),
    "not a number": (lambda f: rewrite(f, **{"probe.bias": torch.full((10,), torch.nan)}), "not finite"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(folder: Path, damage: str) -> None:
    hurt, message = DAMAGE[damage]
    hurt(folder)
    with pytest.raises(errors.ModelFolderError, match=message) as caught:
        rrzoo.load(f"dir:{folder}")
    assert "\n" not in str(caught.value)


def test_unknown_aggregation(folder: Path, model: rrzoo.Model) -> None:
    edit(folder, architecture=dataclasses.asdict(model.config.architecture) | {"aggregation": "product"})
    with pytest.raises(errors.ModelFolderError, match="'product'"):
        rrzoo.load(f"dir:{folder}")


def test_verify_sees_changed_weights(folder: Path) -> None:
    bias = load_file(folder / "model.safetensors")["probe.bias"]
    rewrite(folder, **{"probe.bias": bias.flip(0)})
    with pytest.raises(errors.ModelFolderError, match="outputs that differ by"):
        golden.verify(folder)


def test_verify_needs_golden_outputs(folder: Path) -> None:
    truncate(folder, "golden.safetensors")
    with pytest.raises(errors.ModelFolderError, match="missing or damaged"):
        golden.verify(folder)
