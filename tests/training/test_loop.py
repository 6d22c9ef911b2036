"""Pre-training: it learns, it resumes bit for bit, and it refuses what can't be trained."""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import rrzoo
from conftest import REAL_DATA, REPOSITORY, Outcome, need, run_python, smooth_image, write_cifar10
from rrzoo import datasets, errors, images, pretext, recipes, training
from rrzoo.backbones import create
from rrzoo.commands import planning, train
from rrzoo.config import Architecture, ModelConfig, Recipe, Training
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
from rrzoo.optimisers import OPTIMISERS, Adam
from rrzoo.recipes import RECIPES
from rrzoo.store import card
from rrzoo.training import Pretrained, checkpoint, run_log, within
from rrzoo.training.step import learning_rate

RECIPE = Recipe("conv4", "none", 16, views=3, batch_size=8, epochs=4, loss="bce", learning_rate=3e-3, decay_start=0.5)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    random = np.random.default_rng(11)
    images = np.stack([smooth_image(random, 20, 20) for _ in range(44)])  # 5 batches and a rest of 4
    one = (0.5, 0.5, 0.5)
    return Dataset("none", "train", images, np.zeros(44, np.int64), ("x",), one, one, "chosen", "synthetic", "none")


def weights(trained: Pretrained) -> dict[str, torch.Tensor]:
    return trained.backbone.state_dict() | trained.relation_head.state_dict()


def lines(run: Path, event: str) -> list[dict[str, object]]:
    records = [json.loads(line) for line in (run / run_log.LOG).read_text().splitlines()]
    return [record for record in records if record["event"] == event]


def test_it_learns_to_tell_pairs_apart(tmp_path: Path) -> None:
    figures = datasets.load("clay10", "test")
    few = replace(figures, images=images.to_square(figures.images[::4], 32), labels=figures.labels[::4])
    recipe = replace(RECIPE, image_size=32, views=6, batch_size=25, epochs=15)
    trained = training.pretrain(recipe, few, tmp_path / "run")
    epochs = lines(tmp_path / "run", "epoch")
    assert len(epochs) == 15
    assert epochs[-1]["loss"] < 0.62 < 0.67 < epochs[0]["loss"]
    assert epochs[-1]["accuracy_positive"] + epochs[-1]["accuracy_negative"] > 1.25
    assert trained.views_seen == 15 * 250 * 6
    assert not trained.backbone.training


def test_same_seed_same_weights(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = weights(training.pretrain(RECIPE, dataset, tmp_path / "one"))
    torch.manual_seed(2)  # of no consequence
    two = weights(training.pretrain(RECIPE, dataset, tmp_path / "two"))
    other = weights(training.pretrain(replace(RECIPE, seed=1), dataset, tmp_path / "three"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["linear2.weight"], other["linear2.weight"])


@pytest.mark.parametrize("optimizer", OPTIMISERS)
def test_a_resumed_run_equals_an_uninterrupted_one(
    optimizer: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, optimizer=optimizer)
    whole = weights(training.pretrain(recipe, dataset, tmp_path / "whole"))
    calls = 0
    step = Adam.step  # Muon takes it, too

    def crash(optimizer: Adam) -> None:
        nonlocal calls
        calls += 1
        if calls == 13:  # in the middle of the third epoch
            raise KeyboardInterrupt
        step(optimizer)

    monkeypatch.setattr(Adam, "step", crash)
    with pytest.raises(KeyboardInterrupt):
        training.pretrain(recipe, dataset, tmp_path / "parts")
    monkeypatch.undo()
    parts = weights(training.pretrain(recipe, dataset, tmp_path / "parts", resume=True))
    assert [record["epochs_done"] for record in lines(tmp_path / "parts", "resume")] == [2]
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_that_stops_within_an_epoch_goes_on_there(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, and the log as well, wherever it stops; a stale checkpoint is none."""
    monkeypatch.setattr(within, "EVERY", 0)
    dataset = replace(dataset, images=np.tile(dataset.images, (3, 1, 1, 1))[:120], labels=None)
    # which begins an epoch with what its weights are then; four steps
    recipe = replace(RECIPE, epochs=2, pretext="deepcluster", views=2, batch_size=28)
    whole = training.pretrain(recipe, dataset, tmp_path / "whole").backbone.state_dict()
    step = Adam.step
    for stop, left in ((3, 6), (7, 2)):  # in the first epoch, and the second; 8 steps in all
        run, calls = tmp_path / str(stop), 0

        def crash(optimizer: Adam, stop: int = stop) -> None:
            nonlocal calls
            calls += 1
            if calls == stop:
                raise KeyboardInterrupt
            step(optimizer)

        monkeypatch.setattr(Adam, "step", crash)
        with pytest.raises(KeyboardInterrupt):
            training.pretrain(recipe, dataset, run)
        assert (run / checkpoint.WITHIN).exists()
        calls = stop
        parts = training.pretrain(recipe, dataset, run, resume=True).backbone.state_dict()
        assert calls == stop + left
        monkeypatch.setattr(Adam, "step", step)
        assert all(torch.equal(whole[name], parts[name]) for name in whole)
        expected, found = (lines(place, "epoch") for place in (tmp_path / "whole", run))
        assert [record["loss"] for record in found] == [record["loss"] for record in expected]
        assert not (run / checkpoint.WITHIN).exists()


def test_a_checkpoint_within_an_epoch_that_is_damaged(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(within, "EVERY", 0)
    monkeypatch.setattr(checkpoint, "save", lambda *given: None)
    training.pretrain(replace(RECIPE, epochs=1), dataset, tmp_path)
    with pytest.raises(errors.TrainingError, match="holds an unfinished run"):
        training.pretrain(replace(RECIPE, epochs=1), dataset, tmp_path)
    with pytest.raises(errors.TrainingError, match=r"another recipe \(epochs was 1, is 2\)"):
        training.pretrain(replace(RECIPE, epochs=2), dataset, tmp_path, resume=True)
    path = tmp_path / checkpoint.WITHIN
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(errors.TrainingError, match=r"can't be read .*: delete .* to go on from the last whole epoch"):
        training.pretrain(replace(RECIPE, epochs=1), dataset, tmp_path, resume=True)


def test_the_log_holds_the_whole_configuration(dataset: Dataset, tmp_path: Path) -> None:
    training.pretrain(replace(RECIPE, epochs=1), dataset, tmp_path / "run")
    (start,) = lines(tmp_path / "run", "start")
    assert start["recipe"]["views"] == 3
    assert start["data"] == "synthetic"
    assert {"machine", "threads", "versions", "images"} <= start.keys()
    (epoch,) = lines(tmp_path / "run", "epoch")
    assert epoch["views_per_second"] == pytest.approx(3 * epoch["images_per_second"], rel=0.01)


def test_a_run_is_not_started_twice(dataset: Dataset, tmp_path: Path) -> None:
    training.pretrain(RECIPE, dataset, tmp_path / "run")
    with pytest.raises(errors.TrainingError, match="holds an unfinished run: go on with --resume"):
        training.pretrain(RECIPE, dataset, tmp_path / "run")
    with pytest.raises(errors.TrainingError, match=r"another recipe \(epochs was 4, is 5\)"):
        training.pretrain(replace(RECIPE, epochs=5), dataset, tmp_path / "run", resume=True)
    with pytest.raises(errors.TrainingError, match="no checkpoint to resume"):
        training.pretrain(RECIPE, dataset, tmp_path / "other", resume=True)


def test_a_broken_checkpoint(dataset: Dataset, tmp_path: Path) -> None:
    training.pretrain(RECIPE, dataset, tmp_path / "run")
    path = tmp_path / "run" / checkpoint.CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(errors.TrainingError, match=r"checkpoint\.safetensors can't be read"):
        training.pretrain(RECIPE, dataset, tmp_path / "run", resume=True)


def test_fewer_images_than_a_batch(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match="44 images are less than one batch of 64"):
        training.pretrain(replace(RECIPE, batch_size=64), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(errors.TrainingError, match="lower the learning rate"):
        training.pretrain(replace(RECIPE, learning_rate=1e30, decay_start=1.0), dataset, tmp_path / "run")


def test_learning_rate() -> None:
    rates = [learning_rate(RECIPE, progress) for progress in (0, 0.5, 0.75, 1)]
    assert rates == pytest.approx([3e-3, 3e-3, 1.5e-3, 0])
    assert learning_rate(replace(RECIPE, decay_start=1.0), 1.0) == 3e-3


def script(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "scripts" / "train.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def test_script_from_photographs_to_a_model_that_loads(tmp_path: Path) -> None:
    data = write_cifar10(tmp_path / "photos", per_class=8)
    options = ["--epochs", 1, "--views", 2, "--batch-size", 16, "--seed", 3]
    done = script("conv4-cifar10", "--data", data, "--zoo", tmp_path / "zoo", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "random weights" in done.stdout
    assert "raw pixels" in done.stdout
    assert "images/s" in done.stderr
    model = rrzoo.load(f"dir:{tmp_path / 'zoo' / 'conv4-cifar10'}")
    assert model.config.training.recipe == replace(RECIPES["conv4-cifar10"], epochs=1, views=2, batch_size=16, seed=3)
    assert model.classify(data / "cifar10" / "test" / "cat" / "0001.png").shape == (1, 10)
    assert len(model.gallery()) == 1000
    assert (tmp_path / "zoo" / "conv4-cifar10" / "log.jsonl").exists()
    assert not (tmp_path / "zoo" / ".runs" / "conv4-cifar10").exists()
    again = script("conv4-cifar10", "--data", data, "--zoo", tmp_path / "zoo", *options)
    assert again.returncode == 2
    assert "already there" in again.stderr


def test_script_killed_and_resumed(tmp_path: Path) -> None:
    data = write_cifar10(tmp_path / "photos", per_class=8)
    options = ["conv4-cifar10", "--data", data, "--zoo", tmp_path / "zoo", "--views", 2, "--batch-size", 16]
    command = [sys.executable, REPOSITORY / "scripts" / "train.py", *map(str, options), "--epochs", "100000"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = tmp_path / "zoo" / ".runs" / "conv4-cifar10"
    deadline = time.monotonic() + 120
    while not (run / checkpoint.CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    resumed = script(*options, "--epochs", "100000", "--resume", "--seed", 1)
    assert resumed.returncode == 2
    assert "seed was 0, is 1" in resumed.stderr
    assert not (tmp_path / "zoo" / "conv4-cifar10").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["conv4-cifar"], "did you mean conv4-cifar10"),
        (["conv4-cifar10", "--views", "1"], "views is 1: at least 2"),
        (["conv4-cifar10", "--batch-size", "1"], "batch_size is 1: at least 2"),
        (["conv4-cifar10", "--data", "nowhere"], "cifar10 is not at nowhere/cifar10: fetch it (170 MB) with"),
        (["conv4-clay10", "--resume"], "holds no checkpoint to resume"),
        (["--epochs", "3"], "without NAME all recipes are trained as they are"),
    ],
)
def test_errors_are_one_line_with_status_2(
    arguments: list[str], message: str, run_command: Callable[..., Outcome]
) -> None:
    done = run_command("train", *arguments)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not list(Path().rglob("*.safetensors"))  # in the test's folder


def test_a_model_of_other_data_than_its_name_says_so() -> None:
    standin = replace(RECIPES["conv4-stl10"], dataset="stl10-standin", labelled=None)
    data = "STL-10 stand-in (photographs of others), not STL-10"
    training = Training(standin, data, "none", 100_000, 16, 1.0, "a machine", {}, "2026-01-31", epochs_done=1)
    architecture = Architecture("conv4", 96, (0.5,) * 3, (0.2,) * 3)
    shown = card.render(ModelConfig("conv4-stl10", architecture, training))
    assert "Its data was stl10-standin in place of stl10: no figure here is one of stl10." in shown
    assert f"| epochs | 1 of {standin.epochs} |" in shown
    assert training.origin == f"trained without labels on {data}"
    own = replace(training, recipe=RECIPES["conv4-stl10"])
    assert "in place of" not in card.render(ModelConfig("conv4-stl10", architecture, own))


def test_script_trains_on_another_data_set_as_long_as_it_may(
    tmp_path: Path, few_figures: None, run_command: Callable[..., Outcome]
) -> None:
    options = ["--dataset", "clay10", "--views", "2", "--batch-size", "40", "--epochs", "9", "--minutes", "0"]
    done = run_command("train", "conv4-cifar100", "--zoo", str(tmp_path / "zoo"), *options)
    assert done.status == 0, done.err
    training = rrzoo.load(f"dir:{tmp_path / 'zoo' / 'conv4-cifar100'}").config.training
    assert (training.recipe.dataset, training.epochs_done, training.views_seen) == ("clay10", 1, 800)
    assert "in place of cifar100" in (tmp_path / "zoo" / "conv4-cifar100" / "README.md").read_text()


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].pretext in pretext.TASKS])
def test_every_recipe_takes_a_few_steps_and_says_what_it_would_cost(name: str) -> None:
    seconds = planning.estimate(RECIPES[name])
    assert math.isfinite(seconds)
    assert (seconds > 60) == (RECIPES[name].pretext != "random")


def test_script_without_a_name_builds_what_is_not_there(
    tmp_path: Path, few_figures: None, monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., Outcome]
) -> None:
    """The plan, then model after model; what cannot be trained is left out with its reason, and the rest goes on."""
    small = replace(RECIPES["conv4-clay10"], views=2, batch_size=40, epochs=1)
    few = {"conv4-cifar10": RECIPES["conv4-cifar10"], "conv4-clay10": small, "conv4-there": small}
    for module in (recipes, train):
        monkeypatch.setattr(module, "RECIPES", few)
    zoo = tmp_path / "zoo"
    (zoo / "conv4-there").mkdir(parents=True)
    arguments = ["--zoo", str(zoo), "--data", str(tmp_path)]
    plan = run_command("train", *arguments, "--dry-run")
    assert plan.status == 0, plan.err
    assert "already: conv4-there" in plan.out
    assert f"{RECIPES['conv4-cifar10'].epochs} epochs of 50,000 images" in plan.out
    assert "in all" in plan.out
    assert [path.name for path in zoo.iterdir()] == ["conv4-there"]
    done = run_command("train", *arguments)
    assert done.status == 2
    assert "conv4-cifar10 is left out: cifar10 is not at" in done.out
    assert rrzoo.load(f"dir:{zoo / 'conv4-clay10'}").config.training.epochs_done is None
    assert "left out: conv4-cifar10" in done.err.splitlines()[-1]


def test_script_help_names_every_option() -> None:
    shown = script("--help").stdout
    for option in (
        "--dataset",
        "--minutes",
        "--dry-run",
        "--data",
        "--zoo",
        "--epochs",
        "--views",
        "--batch-size",
        "--seed",
        "--resume",
        "conv4-cifar10",
    ):
        assert option in shown


def test_blocked_views_are_the_same_views(random: np.random.Generator) -> None:
    """Twice into the same memory; a block holds views of all 8 images twice."""
    images = np.stack([smooth_image(random, 20, 24) for _ in range(8)])
    dataset = Dataset("n", "train", images, None, ("x",), (0.5,) * 3, (0.2,) * 3, "chosen", "synthetic", "none")
    recipe = Recipe("conv4", "none", 16, views=6, batch_size=8)
    blocked, plain = (
        training.TrainStep(pretext.create(recipe, create(name), dataset), dataset) for name in ("conv4", "resnet8")
    )
    for epoch in range(2):
        batch = blocked.batch(epoch, random.permutation(8))
        made = blocked.views(batch)
        assert made.shape == (3, 18, 18, 3, 16)
        assert torch.equal(conv4.unblock(made), plain.views(batch))


def test_a_checkpoint_of_another_version_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    training.pretrain(replace(RECIPE, epochs=1), dataset, tmp_path)
    with safe_open(tmp_path / checkpoint.CHECKPOINT, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del tensors["optimizer.steps"]
    save_file(tensors, tmp_path / checkpoint.CHECKPOINT, metadata)
    with pytest.raises(errors.TrainingError, match=r"not of this version of rrzoo .*steps.*delete"):
        training.pretrain(replace(RECIPE, epochs=1), dataset, tmp_path, resume=True)


def test_memory_stays_below_the_limit_on_100_000_photographs_of_96_px() -> None:
    """1.5 GB resident at K = 16, M = 64, where the images alone are 2.7 GB."""
    need((REAL_DATA / "stl10-standin").is_dir(), f"the stand-in for STL-10 in {REAL_DATA}/stl10-standin")
    code = f"""
import numpy as np
from pathlib import Path
from rrzoo import backbones, datasets, pretext, training
from rrzoo.config import Recipe
dataset = datasets.load("stl10-standin", "unlabeled", Path({str(REAL_DATA)!r}))
recipe = Recipe("conv4", "stl10-standin", 96, views=16, batch_size=64)
task = pretext.create(recipe, backbones.create("conv4"), dataset)
step = training.TrainStep(task, dataset)
order = np.random.default_rng(0).permutation(len(dataset))
for start in range(0, 4 * 64, 64):
    step(0, order[start : start + 64])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    run_python(code)  # compiles what is not in the cache yet, which takes memory of its own
    assert int(run_python(code)) * 1024 < 1.5e9
