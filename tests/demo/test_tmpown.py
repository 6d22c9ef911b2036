"""A model that learns from a visitor's pictures: one at a time, stopped, forgotten, and taken home."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import datasets, errors, recipes
from rrzoo.commands import own_pictures
from rrzoo.demo.own_models import showing
from rrzoo.demo.own_models.process import HEAD, NOTHING
from rrzoo.demo.own_models.progress import Progress, read_log
from rrzoo.demo.own_models.trainings import LEAST, MOST_WAITING, Trainings
from rrzoo.gallery import Gallery

EPOCHS = [(1, 0.9), (2, 0.8), (1, 0.7), (2, 0.5)]  # of a first head, and of a second one
PATIENCE = 800  # s, for a process of the lowest priority on a busy machine


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def pictures(model: rrzoo.Model) -> Gallery:
    """As many as are needed."""
    random = np.random.default_rng(4)
    return Gallery.from_images(model, [smooth_image(random, 60, 90) for _ in range(LEAST)])


@pytest.fixture
def trainings(tmp_path: Path) -> Iterator[Trainings]:
    made = Trainings(tmp_path / "trainings")
    yield made
    for session in "abcdefgh":
        made.forget(session)


def test_the_head_learns_by_the_recipe_of_the_command() -> None:
    """What the page trains is what `rrzoo train --images` trains."""
    options = dict.fromkeys(("backbone", "weights", "freeze", "image_size", "epochs", "views", "batch_size", "seed"))
    options |= {"resume": False}
    by_command = own_pictures.recipe_of(own_pictures.argparse.Namespace(**options), "dir:pictures", 300)
    assert dataclasses.replace(by_command, embedding_size=None) == recipes.head_of_own_pictures("dir:pictures", 300)


@pytest.mark.slow
@pytest.mark.parametrize("way", [HEAD, NOTHING])
def test_a_model_learns_and_can_be_taken_home(
    trainings: Trainings,
    pictures: Gallery,
    tmp_path: Path,
    run_command: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setattr("rrzoo.demo.own_models.trainings.NICE", 0)  # other tests are running
    trainings.ask("a", pictures, way, "conv4-cifar10")
    until(lambda: (found := trainings.look("a")) is not None and found.state in ("done", "failed"))
    progress = trainings.look("a")
    assert progress is not None
    assert progress.state == "done", progress.sentence
    assert progress.losses
    assert progress.result is not None
    assert progress.result["held_out"] == LEAST // 5
    assert (progress.result["kept"] != "") == (way == HEAD)
    until(lambda: trainings.learnt("a") is not None)
    learnt, folder = trainings.learnt("a"), trainings.folder("a")
    assert learnt is not None
    assert folder is not None
    again = rrzoo.load(f"dir:{folder}")
    gallery = again.gallery()
    assert list(gallery.sources) == list(pictures.sources)
    query = np.asarray(pictures.thumbnail(3))
    assert gallery.search(query, 1)[0][0].row == learnt[1].search(query, 1)[0][0].row == 3
    assert gallery.can_rerank
    Image.fromarray(query).save(tmp_path / "query.png")
    if way == HEAD:  # what the page calls downloads is what the commands open
        done = run_command("verify", f"dir:{folder}")
        assert done.status == 0, done.err
    trainings.forget("a")
    assert not folder.exists()
    assert trainings.look("a") is None
    assert trainings.learnt("a") is None


def test_one_learns_at_a_time_and_the_others_are_told_how_long(trainings: Trainings, pictures: Gallery) -> None:
    for session in "abc":
        trainings.ask(session, pictures, HEAD, "conv4-cifar10")
    until(lambda: trainings._trainings["a"].process is not None, 20)
    second, third = trainings.look("b"), trainings.look("c")
    assert second is not None
    assert third is not None
    assert (second.state, second.before, third.before) == ("waiting", 1, 2)
    assert third.seconds > second.seconds > 0
    assert "one visitor is before you" in showing.sentence(second)
    running = next(one for one in trainings._unfinished() if one.process)
    trainings.forget("a")
    assert running.process is not None
    assert running.process.poll() is not None
    until(lambda: trainings._trainings["b"].process is not None, 20)


def test_whoever_leaves_is_forgotten(tmp_path: Path, pictures: Gallery) -> None:
    trainings = Trainings(tmp_path, absent=0.5)
    trainings.ask("a", pictures, HEAD, "conv4-cifar10")
    training = trainings._trainings["a"]
    until(lambda: training.process is not None, 20)
    until(lambda: training.ended, 20)  # nobody looks
    assert training.process is not None
    assert training.process.poll() is not None
    until(lambda: not training.folder.exists(), 20)
    assert trainings.look("a") is None


def test_what_takes_too_long_is_ended_and_said(tmp_path: Path, pictures: Gallery) -> None:
    trainings = Trainings(tmp_path, longest=0.0)
    trainings.ask("a", pictures, HEAD, "conv4-cifar10")
    until(lambda: (found := trainings.look("a")) is not None and found.state == "failed", 20)
    progress = trainings.look("a")
    assert progress is not None
    assert "the server is busy. Try it later" in showing.sentence(progress)
    trainings.forget("a")


def test_too_few_pictures_and_too_many_visitors_are_refused(trainings: Trainings, pictures: Gallery) -> None:
    few = Gallery.from_images(pictures.model, [np.zeros((40, 40, 3), np.uint8)] * 3)
    with pytest.raises(errors.TrainingError, match="3 pictures are too few to learn from: drop at least 25"):
        trainings.ask("a", few, HEAD, "conv4-cifar10")
    for session in "abcdefgh"[: MOST_WAITING + 1]:
        trainings.ask(session, pictures, HEAD, "conv4-cifar10")
    with pytest.raises(errors.TrainingError, match="others wait"):
        trainings.ask("h", pictures, HEAD, "conv4-cifar10")


def test_progress_is_read_while_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert read_log(tmp_path, 100, True, 0, 9).state == "starting"
    lines = [json.dumps({"event": "looks", "looks": 16}), json.dumps({"event": "looks", "looks": 48})]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + '\n{"event": "lo')  # half a line
    assert read_log(tmp_path, 100, True, 0, 9) == Progress("looking", 0, 9, 48, 80)
    epochs = [json.dumps({"event": "epoch", "epoch": epoch, "loss": loss}) for epoch, loss in EPOCHS]
    (tmp_path / "run" / "log.jsonl").write_text("\n".join(epochs) + "\n")
    learning = read_log(tmp_path, 100, True, 0, 9)
    assert (learning.state, learning.losses) == ("learning", (0.7, 0.5))
    assert "from 0.700 to 0.500" in showing.status(learning)


def test_views_are_drawn_of_two_pictures(model: rrzoo.Model) -> None:
    clay = datasets.load("clay10", "test")
    drawn = showing.views(model, [clay.images[0], clay.images[1]], 3)
    assert drawn.count("<img") == 2 * showing.VIEWS
    assert drawn != showing.views(model, [clay.images[0], clay.images[1]], 4)
