"""`python -m rrzoo verify`: what is as it was exported passes, and every difference is one line and status 2."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import rrzoo
from rrzoo import datasets, records, zoo
from rrzoo.__main__ import main
from rrzoo.measured import Evaluation, Evaluations
from rrzoo.store import model_folder, verify

NAME = "conv4-cifar10-relation"  # of small images
SHIPPED = zoo.SHIPPED / NAME


@pytest.fixture(scope="module")
def model() -> rrzoo.Model:
    return rrzoo.load(NAME)


@pytest.fixture
def folder() -> Path:
    """A copy of the shipped model, in the zoo."""
    return Path(shutil.copytree(SHIPPED, Path(os.environ["RRZOO_ZOO"]) / "copy"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped model was made on a CPU of this kind."""
    monkeypatch.setattr(verify, "machine", lambda: "AMD EPYC, 64 cores, no GPU used")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run `verify`, which has to refuse, and return its one line."""
    with pytest.raises(SystemExit, match="2"):
        main(["verify", *arguments])
    *_, line = capsys.readouterr().err.splitlines()
    return line


def test_what_is_as_it_was_passes(folder: Path, here: None, capsys: pytest.CaptureFixture[str]) -> None:
    listed = len(model_folder.read_manifest(SHIPPED).sha256)
    for name in (NAME, "copy", f"dir:{folder}"):
        main(["verify", name])
        files, outputs, gallery = capsys.readouterr().out.splitlines()
        assert files == f"{listed} files have the SHA-256 that manifest.json lists"
        assert "1,000" in gallery
        assert outputs.endswith("(allowed on the kind of CPU it was made on: 1e-05)")


def test_a_changed_file_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gallery" / "manifest.json").write_text("{}")
    assert "gallery/manifest.json differs from its SHA-256" in refused(capsys, "copy")


def test_a_file_that_is_gone_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "golden.safetensors").unlink()
    assert "golden.safetensors differs from its SHA-256" in refused(capsys, "copy")


def move(folder: Path, by: float) -> None:
    """Change the stored outputs, with a manifest that fits."""
    golden = load_file(folder / "golden.safetensors")
    golden["features"][0, 0] += np.float32(by)
    save_file(golden, folder / "golden.safetensors")
    model_folder.write_manifest(folder)


def test_other_outputs_are_refused(folder: Path, here: None, capsys: pytest.CaptureFixture[str]) -> None:
    move(folder, 5e-5)
    assert "outputs that differ by 5e-05" in refused(capsys, "copy")


def test_another_cpu_may_round_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "machine", lambda: "another CPU, 2 cores")
    move(folder, 5e-5)
    main(["verify", "copy"])
    assert "another CPU than it was made on, or an unknown one: 0.0001" in capsys.readouterr().out
    move(folder, 5e-4)
    assert "allowed: 0.0001" in refused(capsys, "copy")


def describe(folder: Path, model: rrzoo.Model, by: float = 0.0, images: str = "") -> None:
    """Let the card say what the model measures on clay10's test split, `by` more or less."""
    clay = datasets.load("clay10", "test")
    right = float((model.classify(clay.images).argmax(1) == clay.labels).mean())
    config = model.config
    assert config.training is not None
    assert config.training.recipe is not None
    data = images or "clay10 (rendered clay figures)"
    evaluation = Evaluation("clay10", data, "test", 100, len(clay), 10, right + by, shipped_probe=True)
    training = dataclasses.replace(
        config.training, recipe=dataclasses.replace(config.training.recipe, dataset="clay10")
    )
    architecture = dataclasses.replace(config.architecture, classes=clay.classes)
    changed = dataclasses.replace(config, architecture=architecture, training=training)
    (folder / "config.json").write_text(records.to_json(changed))
    weights = model_folder.read_manifest(folder).sha256["model.safetensors"]
    (folder / "evaluation.json").write_text(records.to_json(Evaluations(weights, {"clay10": evaluation})))
    model_folder.write_manifest(folder)


def test_the_cards_accuracy_is_measured_again(
    folder: Path, model: rrzoo.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(folder, model)
    main(["verify", "copy", "--data"])
    assert "of clay10 (rendered clay figures), test split right" in capsys.readouterr().out
    describe(folder, model, by=0.01)
    assert "right, its card says" in refused(capsys, "copy", "--data")


def test_other_images_are_not_compared(folder: Path, model: rrzoo.Model, capsys: pytest.CaptureFixture[str]) -> None:
    describe(folder, model, images="STL-10")
    assert "its accuracy can't be compared" in refused(capsys, "copy", "--data")


def test_without_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cifar10 is not at" in refused(capsys, "conv4-cifar10", "--data", str(tmp_path))


def test_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean conv4-cifar10" in refused(capsys, "conv4-cifar1")
