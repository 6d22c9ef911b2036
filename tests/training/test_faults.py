"""What goes wrong around a run: a disk that is full, a folder that can't be made, a first step that compiles."""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from rrzoo import errors, training
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.training import checkpoint, loop, run_log

RECIPE = Recipe("conv4", "none", 8, views=2, batch_size=4, epochs=3, loss="bce")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    images = np.random.default_rng(1).integers(0, 256, (8, 8, 8, 3), np.uint8)
    half = (0.5, 0.5, 0.5)
    return Dataset("none", "train", images, None, ("x",), half, half, "chosen", "synthetic", "none")


@contextmanager
def room_for(bytes_a_file: int) -> Iterator[None]:
    """Have the system refuse to let any file grow beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_costs_no_checkpoint(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second epoch's finds no room: one line says so, and the run goes on from the first epoch's later."""
    save = checkpoint.save

    def full(run: Path, step: training.TrainStep, epochs_done: int, seconds: float) -> None:
        with room_for(100_000 if epochs_done == 2 else 10_000_000):
            save(run, step, epochs_done, seconds)

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(errors.TrainingError) as caught:
        training.pretrain(RECIPE, dataset, tmp_path / "run")
    message = str(caught.value)
    assert "checkpoint.safetensors of epoch 2 can't be written" in message
    assert "make room, then go on with --resume from the epoch before, whose checkpoint is whole" in message
    assert "\n" not in message
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [checkpoint.CHECKPOINT, run_log.LOG]
    monkeypatch.undo()
    resumed = training.pretrain(RECIPE, dataset, tmp_path / "run", resume=True)
    whole = training.pretrain(RECIPE, dataset, tmp_path / "whole")
    expected = whole.backbone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.backbone.state_dict().items())


def test_a_log_that_cannot_grow_keeps_whole_lines(tmp_path: Path) -> None:
    run_log.log(tmp_path, event="start")
    before = (tmp_path / run_log.LOG).read_bytes()
    with room_for(len(before) + 10), pytest.raises(errors.TrainingError, match=r"log\.jsonl can't be written .*resume"):
        run_log.log(tmp_path, event="epoch", loss=0.5)
    assert (tmp_path / run_log.LOG).read_bytes() == before
    run_log.log(tmp_path, event="epoch", loss=0.5)
    assert [json.loads(line)["event"] for line in (tmp_path / run_log.LOG).read_text().splitlines()] == [
        "start",
        "epoch",
    ]


def test_a_run_where_no_folder_can_be(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.TrainingError, match=r"file/run can't be made .*: choose another folder"):
        training.pretrain(RECIPE, dataset, tmp_path / "file" / "run")


def test_a_first_step_that_compiles_is_said_once_and_not_taken_for_the_pace(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "COMPILES", 0.9)
    call, calls, bars = training.TrainStep.__call__, [], []

    def slow(step: training.TrainStep, *arguments: object) -> object:
        calls.append(arguments)
        time.sleep(1 if len(calls) == 1 else 0)
        return call(step, *arguments)

    class Bar(tqdm):
        def close(self) -> None:
            bars.append(self.format_dict["elapsed"])
            super().close()

    monkeypatch.setattr(training.TrainStep, "__call__", slow)
    monkeypatch.setattr(loop, "tqdm", Bar)
    training.pretrain(RECIPE, dataset, tmp_path / "run")
    assert bars[0] < 1  # s, what it tells the time that is left from
    shown = capsys.readouterr().err
    assert shown.index("preparing the first step: about a minute where it has to compile") < shown.index("compiled for")
    assert shown.count("compiled for this machine in ") == 1
    (first,) = [record for record in map(json.loads, (tmp_path / "run" / run_log.LOG).read_text().splitlines())
                if record["event"] == "first_step"]  # fmt: skip
    assert first["seconds"] >= 1
