"""Stopped, or out of room, at each file operation in turn: what was there is there still, or what was to be, whole."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from conftest import REPOSITORY
from rrzoo import backbones, errors, pretext
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.gallery import storage
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.load import load
from rrzoo.store.save import save
from rrzoo.training import checkpoint
from rrzoo.training.step import TrainStep

EVENTS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}
OLD = REPOSITORY / "tests" / "fixtures" / "0.1.0" / "conv4-cifar10-relation"

Operation = tuple[Callable[[], object], Callable[[], object]]  # what is stopped, and what must be true afterwards


class Fault:
    """Counts file operations below a folder, and does something at one of them; the hook itself can't be taken back."""

    def __init__(self) -> None:
        self.folder, self.left, self.act = "", 0, lambda: None
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.folder or event not in EVENTS or self.folder not in str(arguments[:2]):
            return
        self.left -= 1
        if self.left == 0:
            self.act()


FAULT = Fault()


def stopped_at(number: int, folder: Path, act: Callable[[], None], operation: Callable[[], object]) -> bool:
    """Run an operation whose file operation `number` is the one where something happens; return whether it did."""
    FAULT.folder, FAULT.left, FAULT.act = str(folder), number, act
    try:
        operation()
    finally:
        FAULT.folder = ""
    return FAULT.left <= 0


def no_room() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only() -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


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


OPERATIONS = {"checkpoint": of_checkpoint, "gallery": of_gallery, "export": of_export, "evaluation": of_evaluation}


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_file_operation(name: str, tmp_path: Path) -> None:
    operation, whole = OPERATIONS[name](tmp_path / "place" / "there")
    kept = tmp_path / "kept"
    if (tmp_path / "place" / "there").exists():
        shutil.copytree(tmp_path / "place", kept)
    for number in range(1, 1000):
        child = os.fork()
        if not child:
            try:
                stopped_at(number, tmp_path / "place", lambda: os.kill(os.getpid(), signal.SIGKILL), operation)
                os._exit(0)
            except BaseException:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        whole()
        if status == 0:
            break
        assert status == signal.SIGKILL
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        if kept.exists():
            shutil.copytree(kept, tmp_path / "place")
    assert number > 5


@pytest.mark.parametrize("act", [no_room, read_only])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_error_at_every_file_operation(name: str, act: Callable[[], None], tmp_path: Path) -> None:
    operation, whole = OPERATIONS[name](tmp_path / "place" / "there")
    for number in range(1, 1000):
        line = ""
        try:
            happened = stopped_at(number, tmp_path / "place", act, operation)
        except errors.RRZooError as problem:
            happened, line = True, str(problem)
        assert "\n" not in line
        whole()
        if not happened:
            break
        if name == "export":
            shutil.rmtree(tmp_path / "place", ignore_errors=True)
    assert number > 5


def test_a_damaged_checkpoint_names_the_one_before(tmp_path: Path) -> None:
    operation, _ = of_checkpoint(tmp_path / "it's")
    operation()
    run = tmp_path / "it's"
    (run / checkpoint.CHECKPOINT).write_bytes(b"damaged")
    recipe = Recipe("conv4", "none", 8, views=2, batch_size=4, epochs=3, loss="bce")
    step = TrainStep(pretext.create(recipe, backbones.create("conv4"), figures()), figures(), fast=False)
    with pytest.raises(
        errors.TrainingError, match=r"The one before it can, of epoch 2: .* with --resume, after: mv"
    ) as caught:
        checkpoint.load(run, step)
    assert os.system(str(caught.value).rpartition("after: ")[2]) == 0
    assert checkpoint.load(run, step)[0] == 2
    (run / checkpoint.CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(errors.TrainingError, match=r"can't be read .*: delete .* to start anew"):
        checkpoint.load(run, step)
