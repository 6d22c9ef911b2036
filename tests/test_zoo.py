"""Finding models by name."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import rrzoo
from rrzoo import errors, zoo


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
