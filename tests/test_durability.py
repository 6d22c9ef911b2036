"""Stopped, or out of room, at each file operation in turn: what was there is there still, or what was to be, whole."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import faults
import rrzoo
from conftest import REPOSITORY
from faults import Operation
from rrzoo import backbones, datasets, errors, files, pretext
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset, cache
from rrzoo.gallery import storage
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.load import load
from rrzoo.store.save import save
from rrzoo.training import checkpoint
from rrzoo.training.step import TrainStep

OLD = REPOSITORY / "tests" / "fixtures" / "0.1.0" / "conv4-cifar10-relation"


def figures() -> Dataset:
    images = np.random.default_rng(1).integers(0, 256, (8, 8, 8, 3), np.uint8)
    return Dataset("none", "train", images, None, ("x",), (0.5,) * 3, (0.5,) * 3, "chosen", "synthetic", "none")


def of_checkpoint(folder: Path) -> Operation:
    recipe = Recipe("conv4", "none", 8, views=2, batch_size=4, epochs=3, loss="bce")
    step = TrainStep(pretext.create(recipe, backbones.create("conv4"), figures()), figures(), fast=False)
    folder.mkdir(parents=True)
    for epoch in (1, 2):
        checkpoint.save(folder, step, epoch, 1.0)

    def whole() -> None:
        done, _ = checkpoint.load(folder, step)
        before = int(checkpoint.read(folder / checkpoint.BEFORE)[1]["epochs_done"])
        assert (before, done) in {(1, 2), (2, 2), (2, 3), (3, 3)}  # the last: it was saved twice

    return lambda: checkpoint.save(folder, step, 3, 2.0), whole


def of_gallery(folder: Path) -> Operation:
    model = load(OLD)
    pictures = list(np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3), np.uint8))
    two, three = (rrzoo.Gallery.from_images(model, pictures[:count]) for count in (2, 3))
    two.save(folder)

    def whole() -> None:
        assert len(rrzoo.Gallery.load(model, folder)) in (2, 3)
        assert storage.files(folder)

    return lambda: three.save(folder), whole


def of_export(folder: Path) -> Operation:
    model = load(OLD)

    def whole() -> None:
        if folder.exists():
            load(folder)
            assert model_folder.altered(folder) == []

    shown = rrzoo.Gallery.from_images(model, [np.zeros((20, 20, 3), np.uint8)])
    return lambda: save(model, folder, shown), whole


def of_evaluation(folder: Path) -> Operation:
    shutil.copytree(OLD, folder)
    known = load(folder).evaluation
    assert known is not None
    evaluation_file.add(folder, known)
    absent = set(model_folder.altered(folder))  # what only older versions read

    def whole() -> None:
        load(folder)
        assert (
            set(model_folder.altered(folder)) <= {model_folder.EVALUATION} | absent
        )  # refused until it is measured again

    return lambda: evaluation_file.add(folder, replace(known, linear_probe=0.5)), whole


def of_index(folder: Path) -> Operation:
    model, photos = load(OLD), folder.parent.parent / "photos"
    photos.mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 30, 3), 40 * number, np.uint8)).save(photos / f"{number}.png")
    rrzoo.Gallery.index_folder(model, photos, folder)
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(photos / "3.png")

    def whole() -> None:
        assert len(rrzoo.Gallery.load(model, folder)) in (3, 4)

    return lambda: rrzoo.Gallery.index_folder(model, photos, folder), whole


def of_cache(folder: Path) -> Operation:
    photos = folder.parent.parent / "photos"
    photos.mkdir()
    os.environ["RRZOO_CACHE"] = str(folder)
    for number in range(3):
        Image.fromarray(np.full((20, 30, 3), 40 * number, np.uint8)).save(photos / f"{number}.png")
    decode_folder(photos)
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(photos / "3.png")

    def whole() -> None:
        there = [path for path in folder.iterdir() if not path.name.startswith(files.UNFINISHED)]
        opened = [cache._open(path) for path in there]  # None: one that was being removed
        assert {len(one.images) for one in opened if one} <= {3, 4}
        assert any(opened)

    return lambda: decode_folder(photos), whole


def decode_folder(photos: Path) -> None:
    assert len(datasets.load(f"dir:{photos}", progress=lambda paths, count: paths)) == len(list(photos.iterdir()))


OPERATIONS = {
    "checkpoint": of_checkpoint,
    "gallery": of_gallery,
    "export": of_export,
    "evaluation": of_evaluation,
    "index": of_index,
    "cache": of_cache,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_file_operation(name: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    run, whole = OPERATIONS[name](place / "there")
    assert faults.killed_everywhere(place, (run, whole)) > 8
    if name != "export":
        run()
    whole()
    assert [path for path in place.rglob(f"{files.UNFINISHED}*") if path.name != "there"] == []


@pytest.mark.slow
@pytest.mark.parametrize("problem", faults.DISK, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_error_at_every_file_operation(name: str, problem: int, tmp_path: Path) -> None:
    place = tmp_path / "place"
    operation = OPERATIONS[name](place / "there")
    assert faults.refused_everywhere(place, operation, problem) > 8


def test_a_damaged_checkpoint_names_the_one_before(tmp_path: Path) -> None:
    operation, _ = of_checkpoint(tmp_path / "it's")
    operation()
    run = tmp_path / "it's"
    (run / checkpoint.CHECKPOINT).write_bytes(b"damaged")
    recipe = Recipe("conv4", "none", 8, views=2, batch_size=4, epochs=3, loss="bce")
    step = TrainStep(pretext.create(recipe, backbones.create("conv4"), figures()), figures(), fast=False)
    for read in (lambda: checkpoint.recipe_of(run), lambda: checkpoint.load(run, step)):
        with pytest.raises(
            errors.TrainingError, match=r"The one before it can, of epoch 2: .* with --resume, after: mv"
        ) as caught:
            read()
    assert os.system(str(caught.value).rpartition("after: ")[2]) == 0
    assert checkpoint.load(run, step)[0] == 2
    (run / checkpoint.CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(errors.TrainingError, match=r"can't be read .*: delete .* to start anew"):
        checkpoint.load(run, step)
