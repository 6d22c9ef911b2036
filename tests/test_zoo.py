"""Finding models by name."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import rrzoo
from rrzoo import errors, zoo
from rrzoo.pretext import TASKS
from rrzoo.store import evaluation_file, model_folder


def test_the_local_zoo_comes_before_the_package(tmp_path: Path) -> None:
    assert rrzoo.load("conv4-cifar10").folder == zoo.SHIPPED / "conv4-cifar10"
    local = Path(os.environ["RRZOO_ZOO"]) / "conv4-cifar10"
    shutil.copytree(zoo.SHIPPED / "conv4-cifar10", local)
    assert rrzoo.load("conv4-cifar10").folder == local
    assert rrzoo.load(f"dir:{zoo.SHIPPED / 'conv4-cifar10'}").folder == zoo.SHIPPED / "conv4-cifar10"


def test_unknown_names_offer_close_ones() -> None:
    with pytest.raises(errors.UnknownModelError, match="'conv4-cifar1' is at hand: did you mean conv4-cifar10"):
        rrzoo.load("conv4-cifar1")


def test_a_known_recipe_that_is_not_trained_says_how() -> None:
    with pytest.raises(errors.UnknownModelError, match=r"Train it with: python -m rrzoo train conv4-clay10"):
        rrzoo.load("conv4-clay10")


@pytest.mark.parametrize("name", ["", "../models/conv4-cifar10", "/etc", ".", "conv4-cifar10/"])
def test_names_are_no_paths(name: str) -> None:
    with pytest.raises(errors.UnknownModelError):
        rrzoo.load(name)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFolderError, match="is not a folder"):
        rrzoo.load(f"dir:{tmp_path / 'none'}")


def test_list_models() -> None:
    assert "trained without labels on CIFAR-10" in rrzoo.list_models()["conv4-cifar10"]
    broken = Path(os.environ["RRZOO_ZOO"]) / "conv4-broken"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{")
    unfinished = broken.with_name(".conv4-unfinished")
    shutil.copytree(broken, unfinished)
    models = rrzoo.list_models()
    assert models["conv4-broken"].startswith("can't be read")
    assert set(models) == {"conv4-broken", *(path.name for path in zoo.SHIPPED.iterdir())}


def measured_copy(name: str, dataset: str, linear_probe: float, shipped_probe: bool = True) -> None:
    """Put a model into the local zoo whose probe named so many of a data set's test images right."""
    folder = Path(os.environ["RRZOO_ZOO"]) / name
    shutil.copytree(zoo.SHIPPED / "conv4-cifar10", folder)
    config = model_folder.read_config(folder)
    own = evaluation_file.own(folder, config)
    assert own is not None
    evaluation_file.add(folder, replace(own, dataset=dataset, linear_probe=linear_probe, shipped_probe=shipped_probe))
    if shipped_probe:  # not the copy's own figures, of other data sets
        content = json.loads((folder / "evaluation.json").read_text())
        content["evaluations"] = {dataset: content["evaluations"][dataset]}
        (folder / "evaluation.json").write_text(json.dumps(content))


def test_newcomers_meet_models_for_photographs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = [path.name for path in zoo.SHIPPED.iterdir()]
    compared = sorted(name for name in shipped if name.rpartition("-")[2] in TASKS)
    assert len(compared) == 11
    before = set(zoo.groups().get(zoo.PHOTOGRAPHS, {}))
    measured_copy("a-stl10", "stl10", 0.995)
    measured_copy("b-stl10", "stl10", 0.997)
    measured_copy("c-cifar10", "stl10", 0.998, shipped_probe=False)  # measured there, but its classes are CIFAR-10's
    measured_copy("d-cifar10", "cifar10-lt", 0.999)
    groups = zoo.groups()
    assert [*groups][-1] == zoo.COMPARISON
    assert [*groups[zoo.PHOTOGRAPHS]][:3] == ["c-cifar10", "b-stl10", "a-stl10"]
    assert set(groups[zoo.PHOTOGRAPHS]) == {"a-stl10", "b-stl10", "c-cifar10"} | before
    assert [*groups[zoo.COMPARISON]] == compared
    assert "d-cifar10" in groups[zoo.OTHERS]
    assert [*rrzoo.list_models()] == [name for group in groups.values() for name in group]
    assert zoo.best_model() == "b-stl10"
    monkeypatch.setattr(zoo, "SHIPPED", zoo.SHIPPED / "none")
    shutil.rmtree(os.environ["RRZOO_ZOO"])
    assert zoo.best_model() == zoo.FALLBACK


def test_a_folder_of_images_may_hold_a_manifest_of_its_own(model: rrzoo.Model, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "x.png")
    (tmp_path / "manifest.json").write_text('{"photographer": "me"}')
    assert zoo.open_gallery(model, tmp_path).sources == ("x.png",)
    rrzoo.Gallery.build(model, tmp_path).save(tmp_path / "saved")
    (tmp_path / "saved" / "rows-1.safetensors").unlink()
    with pytest.raises(errors.GalleryError, match=r"rows-1\.safetensors is not there"):
        zoo.open_gallery(model, tmp_path / "saved")


def test_a_gallery_of_an_older_format_is_named(model: rrzoo.Model) -> None:
    folder = zoo.gallery_folder(model.name, "holiday")
    folder.mkdir(parents=True)
    (folder / "gallery.json").write_text("{}")
    with pytest.raises(errors.GalleryError, match="older format: build it anew"):
        zoo.open_gallery(model, "holiday")


def test_a_folder_of_images_is_read_once(model: rrzoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x.png", "y.png"):
        Image.new("RGB", (9, 9), "red" if name == "x.png" else "blue").save(tmp_path / name)
    assert len(zoo.open_gallery(model, tmp_path)) == 2
    monkeypatch.setattr(rrzoo.Model, "extract", None)  # nothing is embedded any more
    assert len(zoo.open_gallery(model, tmp_path)) == 2
    (tmp_path / "x.png").unlink()
    assert zoo.open_gallery(model, tmp_path).sources == ("y.png",)
