"""N ranks, each with its own images, learn what one process learns from all of them: every task, step by step."""

import functools
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import ranks_harness
import torch
from torch import Tensor

from conftest import smooth_image
from rrzoo import backbones, errors, pretext, ranks, training
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext import colorization
from rrzoo.training import checkpoint, run_log

TRAINED = [tag for tag in pretext.TASKS if tag != "random"]
IMAGES, BATCH = 104, 16
STEPS = """
import sys
from pathlib import Path
import torch
import test_ranks
from rrzoo import ranks
count = int(sys.argv[1])
with ranks.meet() as rank:
    for tag in test_ranks.TRAINED:
        torch.save(test_ranks.steps(tag), Path(sys.argv[2]) / f"{tag}-{count}-{rank.number}.pt")
"""
TRAIN = """
import sys
from pathlib import Path
import test_ranks
from rrzoo import ranks, training
from rrzoo.commands import exit_statuses
with exit_statuses(), ranks.meet() as rank:
    count, run, epochs, resume = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "resume"
    chosen = test_ranks.recipe("relation", epochs=epochs, **eval(sys.argv[5]))
    trained = training.pretrain(chosen, test_ranks.dataset(), run, resume)
    print(sum(tensor.double().sum().item() for tensor in trained.backbone.state_dict().values()))
"""


def recipe(tag: str, **changes: object) -> Recipe:
    views = max(pretext.TASKS[tag].least_views, 1 if tag in ("dim", "colorization") else 3)
    views += views == 3 and tag == "rotation"
    made = Recipe("conv4", "none", 32, pretext=tag, views=views, batch_size=BATCH, epochs=2, loss="bce")
    return replace(made, **changes)


@functools.cache
def dataset() -> Dataset:
    random = np.random.default_rng(11)
    pictures = np.stack([smooth_image(random, 36, 40) for _ in range(IMAGES)])
    half = (0.5, 0.5, 0.5)
    labels = np.arange(IMAGES) % 3
    return Dataset("none", "train", pictures, labels, ("x", "y", "z"), half, half, "chosen", "synthetic", "none")


def steps(tag: str) -> list[dict[str, Tensor]]:
    """Take two steps from the same weights; return gradients by parameter, loss and statistics, as this rank has them.

    In double precision, so that rounding neither hides a fault nor opens a ReLU that is shut elsewhere.
    """
    torch.manual_seed(0)
    images = dataset()
    task = pretext.create(recipe(tag), backbones.create("conv4"), images)
    task.start_epoch(0, images)
    step = training.TrainStep(task.double().train(), images, fast=ranks.this().count > 1)
    task.register_forward_pre_hook(lambda _, given: (given[0].double(), given[1]))
    seen: list[dict[str, Tensor]] = []

    def observe() -> None:
        seen.append({f"gradient of {name}": parameter.grad.clone() for name, parameter in task.named_parameters()})
        task.zero_grad()

    step.optimizer.step = observe
    lab = colorization.lab
    for number in range(2):
        with mock.patch.object(colorization, "lab", lambda rgb: lab(rgb).double()):  # of pixels
            loss, metrics = step(0, np.random.default_rng(number).permutation(IMAGES)[:BATCH])
        statistics = {name: value.clone() for name, value in task.state_dict().items() if "running" in name}
        seen[-1] |= {"loss": loss, **metrics, **statistics}
    return seen


@pytest.fixture(scope="module", params=[2, 4])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Return a number of ranks, and the folder where each kept what its steps did."""
    folder = tmp_path_factory.mktemp("ranks")
    ranks_harness.run(request.param, STEPS, request.param, folder)
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("tag", TRAINED)
def test_ranks_learn_what_one_process_learns(tag: str, shared: tuple[int, Path]) -> None:
    """Loss, gradients, running statistics: each rank has those of one process."""
    count, folder = shared
    expected = steps(tag)
    for rank in range(count):
        found = torch.load(folder / f"{tag}-{count}-{rank}.pt")
        for number, (one, whole) in enumerate(zip(found, expected, strict=True)):
            assert one.keys() == whole.keys()
            scale = max(value.abs().max().item() for name, value in whole.items() if "gradient" in name)
            for name, value in whole.items():
                where = f"{name}, rank {rank}, step {number}: "
                atol = 1e-8 * (scale if "gradient" in name else 1)
                torch.testing.assert_close(one[name], value, rtol=1e-7, atol=atol, msg=lambda said, at=where: at + said)


def test_ranks_that_have_not_met_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else each would train a model of its own, and all would write one file."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.ArgumentError, match="WORLD_SIZE is 2, and the ranks have not met"):
        training.pretrain(recipe("relation"), dataset(), tmp_path)
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(errors.ArgumentError, match=r"RANK is 2, WORLD_SIZE is 2.*start ranks with torchrun"):
        ranks.this()


def train(count: int, run: Path, epochs: int = 2, resume: bool = False, **changes: object) -> list[subprocess.Popen]:
    return ranks_harness.start(count, TRAIN, count, run, epochs, "resume" if resume else "start", changes)


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / run_log.LOG).read_text().splitlines()]


def until(happened: Callable[[], bool], ranks: list[subprocess.Popen]) -> None:
    """Wait for something, as long as all ranks run."""
    end = time.monotonic() + 300
    while not happened():
        assert all(rank.poll() is None for rank in ranks), ranks_harness.wait(ranks, 5)
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_all_ranks_end_when_one_is_lost(signal_sent: signal.Signals, tmp_path: Path) -> None:
    """Killed or hanging: all end within 30 seconds, the others say so, and the checkpoint is whole."""
    run = tmp_path / "run"
    four = train(4, run, epochs=500)
    until(lambda: (run / checkpoint.CHECKPOINT).exists(), four)
    four[2].send_signal(signal_sent)
    begun = time.monotonic()
    outcomes = ranks_harness.wait(four, 30)
    assert time.monotonic() - begun < 30
    assert outcomes.pop(2).status in (-signal.SIGKILL, -signal.SIGTERM)
    for outcome in outcomes:
        assert outcome.status == 2
        assert "lost the others" in outcome.said
    step = training.TrainStep(
        pretext.create(recipe("relation", epochs=500), backbones.create("conv4"), dataset()), dataset()
    )
    assert checkpoint.load(run, step)[0] >= 1


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    """Two epochs by one process; or one by two ranks, stopped there, and one by four: the same images in each batch."""
    whole = training.pretrain(recipe("relation"), dataset(), tmp_path / "whole")
    (one,) = (line for line in log_of(tmp_path / "whole") if line["event"] == "epoch" and line["epoch"] == 2)
    two = train(2, tmp_path / "parts")
    until(lambda: (tmp_path / "parts" / checkpoint.CHECKPOINT).exists(), two)
    two[1].kill()
    ranks_harness.wait(two, 60)
    for outcome in ranks_harness.wait(train(4, tmp_path / "parts", resume=True), 120):
        assert outcome.status == 0, outcome.said
    lines = log_of(tmp_path / "parts")
    assert [line["ranks"] for line in lines if line["event"] in ("start", "resume")] == [2, 4]
    assert lines[-1]["loss"] == pytest.approx(one["loss"], abs=2e-3)
    assert whole.epochs_done == lines[-1]["epoch"] == 2


@pytest.mark.slow
def test_ranks_go_on_within_an_epoch(tmp_path: Path) -> None:
    """As many as before learn the same, bit for bit."""
    stops = """
from rrzoo.optimisers import Adam
from rrzoo.training import within
within.EVERY, calls, step = 0, [], Adam.step
def stop(optimizer):
    calls.append(0)
    if len(calls) == 9:  # the third step of the second epoch
        raise SystemExit(7)
    step(optimizer)
Adam.step = stop
"""
    whole = ranks_harness.wait(train(2, tmp_path / "whole"), 300)
    stopped = ranks_harness.start(2, stops + TRAIN, 2, tmp_path / "parts", 2, "start", {})
    assert 7 in [outcome.status for outcome in ranks_harness.wait(stopped, 300)]  # the other may lose it before
    assert (tmp_path / "parts" / checkpoint.WITHIN).exists()
    parts = ranks_harness.wait(train(2, tmp_path / "parts", resume=True), 300)
    sums = {outcome.said.splitlines()[-1] for outcome in [*whole, *parts]}
    assert len(sums) == 1, sums
    one, other = (log_of(tmp_path / run)[-1] for run in ("whole", "parts"))
    assert one["loss"] == other["loss"]


@pytest.mark.slow
def test_a_batch_that_ranks_do_not_divide_is_refused(tmp_path: Path) -> None:
    for outcome in ranks_harness.wait(train(3, tmp_path), 60):
        assert outcome.status == 2
        assert "a batch of 16 images can't be shared evenly by 3 ranks: choose a multiple, such as" in outcome.said


@pytest.mark.slow
def test_ranks_of_other_versions_are_refused(tmp_path: Path) -> None:
    code = TRAIN.replace("with exit", "from rrzoo import environment\nwith exit").replace(
        "count, run", "environment.versions = lambda: {'torch': f'2.{rank.number}'}\n    count, run", 1
    )
    for outcome in ranks_harness.wait(ranks_harness.start(2, code, 2, tmp_path, 1, "start", {}), 60):
        assert outcome.status == 2
        assert "torch is 2.0 on rank 0 and 2.1 on rank 1: all ranks need the same" in outcome.said
