"""`rrzoo train` on anybody's pictures: what is refused is refused before training, and all else ends in a model."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import REPOSITORY, Outcome, smooth_image
from rrzoo import training, zoo
from rrzoo.commands import borrowing, own_pictures, pace
from rrzoo.store import evaluation_file
from rrzoo.store.load import load
from rrzoo.training import checkpoint, frozen_features, kept_features

Run = Callable[..., Outcome]
QUICK = ("--backbone", "conv4", "--epochs", "1", "--views", "2")


def fill(folder: Path, names: list[str], seed: int = 0) -> Path:
    """Write smooth pictures of many sizes, some of them grey; those of a class have a colour in common."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = smooth_image(random, 30 + number % 7 * 9, 40 + number % 3 * 20) // 2
        image[..., len(path.parent.name) % 3] += np.uint8(90)
        Image.fromarray(image).convert("L" if number % 9 == 4 else "RGB").save(path)
    return folder


def plain(count: int) -> list[str]:
    """Return names of pictures that lie in no folder, in one, and in one in that."""
    return [
        f"{('', '2024/', '2024/may/')[number % 3]}{number:03}.{('png', 'jpg')[number % 2]}" for number in range(count)
    ]


def classes(*names: str, each: int = 20) -> list[str]:
    return [f"{name}/{number:03}.png" for name in names for number in range(each)]


def no_training(*arguments: object, **options: object) -> None:
    raise AssertionError("something was trained")


def nothing_trained(tmp_path: Path, *names: str) -> bool:
    """Say whether neither a model nor an unfinished run is there."""
    return not any((tmp_path / "zoo" / folder / name).exists() for folder in ("", ".runs") for name in names)


def test_unlabelled_pictures_of_all_kinds(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", plain(40))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    done = run_command("train", "--images", "photos", "--name", "holiday", *QUICK)
    assert done.status == 0, done.err
    assert f"41 pictures are decoded once, to 96 x 96 px: 1 MB in {tmp_path / 'cache'}" in done.out
    assert "1 images could not be read and are left out" in done.out
    assert "the other half of a picture found first, among " in done.out
    assert done.out.splitlines()[-1] == "open it: python -m rrzoo demo --model holiday --gallery photos"
    model = rrzoo.load("holiday")
    assert (model.classes, model.has_relation_head, model.evaluation) == ((), True, None)
    measured = evaluation_file.without_labels(tmp_path / "zoo" / "holiday", model.config)
    assert measured is not None
    assert 7 <= measured.images <= 9  # the broken one may be among them
    assert measured.data == "the folder photos, 1 unreadable images left out"
    card = (tmp_path / "zoo" / "holiday" / "README.md").read_text()
    assert "## What was measured without labels" in card
    assert "nan" not in card
    assert run_command("verify", "holiday").status == 0
    assert len(zoo.open_gallery(model, "photos")) == 40
    found = run_command("search", "photos/003.jpg", "--model", "holiday", "--gallery", "photos", "-k", "1")
    assert found.status == 0, found.err
    assert "003.jpg" in found.out
    again = run_command("train", "--images", "photos", "--name", "holiday", *QUICK)
    assert again.status == 2
    assert "holiday is already there" in again.err


def test_folders_that_clearly_are_classes(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", classes("cat", "horse"))
    done = run_command("train", "--images", "photos", *QUICK)
    assert done.status == 0, done.err
    assert "the 2 folders are taken for classes (cat, horse): if they are none, say --labels none" in done.out
    model = rrzoo.load("photos")
    assert model.classes == ("cat", "horse")
    assert model.evaluation is not None
    assert (model.evaluation.train_images, model.evaluation.test_images) == (32, 8)
    assert np.isfinite(model.evaluation.linear_probe)
    assert run_command("verify", "photos").status == 0


@pytest.mark.parametrize(
    ("names", "asked", "labels"),
    [
        (classes("cat", "dog"), None, True),
        (classes("cat", "dog"), "none", False),
        (classes("2023", "2024"), None, False),  # dates
        (classes("2023", "2024"), "folders", True),
        (classes("100CANON", "101CANON"), None, False),
        (classes("cat", "dog", each=9), None, False),
        (classes("cat", "dog", each=9), "folders", True),
        (classes("cat/black", "dog/brown"), None, False),  # deeper: who knows what these are
        (classes("cat"), None, False),
        ([*classes("cat", "dog"), "one.png"], None, False),
    ],
)
def test_when_folders_are_classes(tmp_path: Path, names: list[str], asked: str | None, labels: bool) -> None:
    paths = [tmp_path / name for name in names]
    assert own_pictures.takes_labels(own_pictures.folders.Files(tmp_path, paths), asked) == labels


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        (plain(5), [], "5 pictures in photos are too few to learn from: at least 25 are needed"),
        (plain(40), ["--name", "lite0-stl10"], "lite0-stl10 is the name of a model of rrzoo's, which yours would hide"),
        (plain(40), ["--name", "conv4-cifar10-paper"], "is the name of a model of rrzoo's"),
        (plain(40), ["--name", "../x"], "'../x' can't be a model's name"),
        (plain(40), ["--name", ".hidden"], "can't be a model's name"),
        (plain(40), ["--labels", "folders"], "some pictures lie in no folder"),
        (classes("cat", each=40), ["--labels", "folders"], "the folders are cat, the smallest with 40 pictures"),
        ([*classes("cat", "dog"), "rare/a.png"], ["--labels", "folders"], "the smallest with 1 pictures"),
        (plain(40), ["--backbone", "conv5"], "no backbone is called 'conv5'"),
        (plain(40), ["--backbone", "conv4", "--weights", "none"], "are for borrowed backbones"),
        (plain(40), ["conv4-clay10"], "leave out a recipe's NAME"),
        (plain(40), ["--dataset", "clay10"], "leave out --dataset"),
        (plain(40), ["--resume", "--backbone", "conv4"], "holds no checkpoint to resume"),
        (plain(40), ["--backbone", "conv4", "--views", "1"], "views is 1"),
        (plain(40), ["--minutes", "nan"], "a time above 0 is needed"),
    ],
)
def test_refused_before_training(
    tmp_path: Path,
    run_command: Run,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    arguments: list[str],
    message: str,
) -> None:
    for module, name in ((training, "pretrain"), (training, "train_head")):
        monkeypatch.setattr(module, name, no_training)
    fill(tmp_path / "photos", names)
    done = run_command("train", "--images", "photos", *arguments)
    assert done.status == 2, done.out + done.err
    assert message in done.err
    assert done.err.strip().splitlines()[-1].startswith("error: ")
    assert nothing_trained(tmp_path, "photos", "lite0-stl10")


@pytest.mark.parametrize("arguments", [["--images", "none"], ["--name", "x"], ["--labels", "none"]])
def test_no_folder(run_command: Run, arguments: list[str]) -> None:
    done = run_command("train", *arguments)
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1


def test_no_room(tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "photos", plain(40))
    monkeypatch.setattr(own_pictures.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1_000_000))
    done = run_command("train", "--images", "photos", *QUICK)
    assert done.status == 2
    assert "has 1 MB left" in done.err
    assert not (tmp_path / "cache").exists()
    assert nothing_trained(tmp_path, "photos")


def test_copies_of_one_picture_are_too_few(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", ["a.png"])
    for number in range(40):
        shutil.copy(tmp_path / "photos" / "a.png", tmp_path / "photos" / f"{number}.png")
    done = run_command("train", "--images", "photos", *QUICK)
    assert done.status == 2
    assert "only 1 can be read and differ: at least 20 are needed" in done.err
    assert nothing_trained(tmp_path, "photos")


def test_a_shipped_name_if_asked_for(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", plain(30))
    done = run_command("train", "--images", "photos", "--name", "conv4-tinyimagenet", "--replace", *QUICK)
    assert done.status == 0, done.err
    assert load(tmp_path / "zoo" / "conv4-tinyimagenet").classes == ()


def test_a_resumed_run_has_the_epochs_it_was_started_with(
    tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the weights of one that was not stopped."""
    fill(tmp_path / "photos", plain(40))
    start = ("train", "--images", "photos", "--backbone", "conv4", "--views", "2", "--labels", "none")
    monkeypatch.setattr(training, "seconds_of_step", lambda chosen, images, device: 3.0)  # 4 steps an epoch, 570 s
    monkeypatch.setattr(pace, "SHARE", 3 * 4 * 3 / 600)
    whole = run_command(*start, "--name", "whole")
    assert whole.status == 0, whole.err
    assert "8 images a step, 3 epochs" in whole.out

    def stop(run: Path, step: training.TrainStep, epochs_done: int, seconds: float) -> None:
        save(run, step, epochs_done, seconds)
        raise KeyboardInterrupt

    save = checkpoint.save
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", stop)
        stopped = run_command(*start, "--name", "stopped")
    assert stopped.status == 130
    assert "--resume" in stopped.err
    monkeypatch.setattr(training, "seconds_of_step", no_training)
    resumed = run_command(*start, "--name", "stopped", "--resume")
    assert resumed.status == 0, resumed.err
    one, other = (load(tmp_path / "zoo" / name).state_dict() for name in ("whole", "stopped"))
    assert all((one[name] == other[name]).all() for name in one)
    log = (tmp_path / "zoo" / "stopped" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in log if "epoch" in line].count("epoch") == 3


def test_a_stopped_head_on_a_borrowed_backbone_goes_on(
    tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many pictures as it began with, however fast the machine is by now, and to the same head."""
    fill(tmp_path / "photos", plain(60))
    start = ("train", "--images", "photos", "--image-size", "64", "--views", "2", "--epochs", "2")
    monkeypatch.setattr(borrowing, "estimate", lambda chosen, device: pace.SHARE * 600 * pace.OF_FEATURES / 40)
    whole = run_command(*start, "--name", "whole")
    assert whole.status == 0, whole.err
    assert "of 48 pictures 40 are learnt from, drawn at random" in whole.out

    def stop(state: kept_features.State, run: Path, done: int, seconds: float) -> None:
        keep(state, run, done, seconds)
        raise KeyboardInterrupt

    keep = kept_features.State.keep
    with monkeypatch.context() as patched:
        patched.setattr(frozen_features, "EVERY", 0.0)
        patched.setattr(kept_features.State, "keep", stop)
        stopped = run_command(*start, "--name", "stopped")
    assert stopped.status == 130
    assert "--resume" in stopped.err
    assert kept_features.read(tmp_path / "zoo" / ".runs" / "stopped").done == 16
    monkeypatch.setattr(borrowing, "estimate", no_training)
    resumed = run_command(*start, "--name", "stopped", "--resume")
    assert resumed.status == 0, resumed.err
    one, other = (load(tmp_path / "zoo" / name).state_dict() for name in ("whole", "stopped"))
    assert all((one[name] == other[name]).all() for name in one)
    assert not (tmp_path / "zoo" / ".runs" / "stopped").exists()


def test_more_pictures_than_the_minutes_allow(
    tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "photos", plain(60))
    monkeypatch.setattr(training, "seconds_of_step", lambda chosen, images, device: 300.0)
    monkeypatch.setattr(pace, "SHARE", 1.0)
    done = run_command("train", "--images", "photos", "--backbone", "conv4", "--views", "2")
    assert done.status == 0, done.err
    assert "of 48 pictures 24 are learnt from, drawn at random" in done.out
    assert len(zoo.open_gallery(rrzoo.load("photos"), "photos")) == 60


def test_a_probe_learns_from_all_pictures(tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the backbone sees so few that none may be of some class."""
    fill(tmp_path / "photos", classes("cat", "horse", "newt"))
    monkeypatch.setattr(training, "seconds_of_step", lambda chosen, images, device: 600.0)
    monkeypatch.setattr(pace, "SHARE", 1.0)
    done = run_command("train", "--images", "photos", "--backbone", "conv4", "--views", "2", "--batch-size", "2")
    assert done.status == 0, done.err
    assert "of 48 pictures 2 are learnt from" in done.out
    evaluation = rrzoo.load("photos").evaluation
    assert evaluation is not None
    assert (evaluation.train_images, evaluation.test_images, evaluation.classes) == (48, 12, 3)


def test_a_class_that_can_not_be_read(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", classes("cat", "horse", "newt"))
    for path in (tmp_path / "photos" / "newt").iterdir():
        path.write_bytes(b"")
    done = run_command("train", "--images", "photos", *QUICK)
    assert done.status == 2
    assert "has 0 images of the class newt to learn from" in done.err
    assert nothing_trained(tmp_path, "photos")


def test_the_command_as_a_process(tmp_path: Path) -> None:
    fill(tmp_path / "my photos", plain(30))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "train.py", "--images", "my photos", "--name", "mine", *QUICK],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("open it: python -m rrzoo demo --model mine --gallery 'my photos'\n")


# `train NAME --dataset dir:FOLDER`: what used to fail late, or to print figures that mean nothing

DIR = ("train", "conv4-clay10", "--replace", "--epochs", "1", "--views", "2", "--batch-size", "8", "--dataset")


def test_a_recipe_on_mixed_sizes_and_without_a_test_split(tmp_path: Path, run_command: Run) -> None:
    """Once a TypeError; and "raw pixels 100.00%", since what was measured on had been learnt from."""
    random = np.random.default_rng(1)
    fill(tmp_path / "photos", classes("a", "b"))
    for path in (tmp_path / "photos").rglob("*.png"):  # noise: pixels tell nothing of an image that was not seen
        Image.fromarray(random.integers(0, 256, (33 + int(path.stem), 40, 3), np.uint8)).save(path)
    done = run_command(*DIR, "dir:photos")
    assert done.status == 0, done.err
    pixels = re.search(r"raw pixels +(\S+)%", done.out)
    assert pixels is not None
    assert float(pixels[1]) < 95
    assert "accuracy on the folder photos, test split" in done.out


@pytest.mark.parametrize("names", [classes("only", each=40), plain(40)])
def test_a_recipe_on_one_class_or_none(tmp_path: Path, run_command: Run, names: list[str]) -> None:
    """Once NaN in config.json, or a training that could not be exported."""
    fill(tmp_path / "photos", names)
    done = run_command(*DIR, "dir:photos")
    assert done.status == 0, done.err
    folder = tmp_path / "zoo" / "conv4-clay10"
    for name in ("config.json", "evaluation.json", "README.md"):
        assert "NaN" not in (folder / name).read_text()
    assert load(folder).classes == ()


def test_a_recipe_of_labels_on_none(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", plain(40))
    done = run_command("train", "conv4-cifar10-supervised", "--replace", "--dataset", "dir:photos")
    assert done.status == 2
    assert "needs two folders of images" in done.err


def test_a_recipe_on_a_folder_hides_no_shipped_model(tmp_path: Path, run_command: Run) -> None:
    fill(tmp_path / "photos", plain(40))
    done = run_command("train", "conv4-cifar10", "--dataset", "dir:photos")
    assert done.status == 2
    assert "which yours would hide" in done.err
