"""From pre-trained weights to a folder: what the probe is worth is measured, and comes back with the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from rrzoo import datasets, training
from rrzoo.config import Recipe
from rrzoo.evaluation import calibration, measure, own_probe, probes
from rrzoo.store import golden
from rrzoo.store.export import export

RECIPE = Recipe("conv4", "clay10", 16, views=2, batch_size=32, epochs=1, pooling=2)


def part(split: str, start: int, step: int) -> datasets.Dataset:
    clay = datasets.load("clay10", "test")
    rows = slice(start, None, step)
    return replace(clay, split=split, images=clay.images[rows], labels=clay.require_labels()[rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("export")
    train, test = part("train", 0, 5), part("test", 1, 5)
    pretrained = training.pretrain(RECIPE, train, place / "run")
    black = np.zeros((7, 32, 32, 3), np.uint8)
    export("conv4-clay10", RECIPE, pretrained, train, test, place / "model", unknown={"black": black})
    return place / "model"


@pytest.fixture
def model(folder: Path) -> rrzoo.Model:
    return rrzoo.load(f"dir:{folder}")


def test_the_temperature_is_in_the_probe(model: rrzoo.Model) -> None:
    known, train, test = model.evaluation, part("train", 0, 5), part("test", 1, 5)
    assert known is not None
    assert known.calibration is not None
    temperature = known.calibration.temperature
    assert temperature is not None
    assert known.linear_probe_l2 is not None
    pooled = model.extract(train.images).pooled
    weight, bias = probes.fit_linear_probe(pooled, train.require_labels(), 10, l2=known.linear_probe_l2)
    test_pooled = model.extract(test.images).pooled
    logits = test_pooled @ weight.T + bias
    assert model.probe_logits(test_pooled) == pytest.approx(logits / temperature, abs=1e-2)
    held_out = calibration.held_out_logits(pooled, train.require_labels(), known.linear_probe_l2)
    assert temperature == pytest.approx(calibration.fit_temperature(held_out, train.require_labels()), rel=1e-3)
    labels = test.require_labels()
    assert known.calibration.error == pytest.approx(calibration.probe_error(logits / temperature, labels), abs=0.02)
    assert known.calibration.error_before == pytest.approx(calibration.probe_error(logits, labels), abs=0.02)


def test_every_figure_of_the_probe_is_there(model: rrzoo.Model) -> None:
    known, test = model.evaluation, part("test", 1, 5)
    assert known is not None
    answers, labels = model.classify(test.images).argmax(1), test.require_labels()
    assert known.linear_probe == (answers == labels).mean()
    assert known.class_accuracy == own_probe.recall(answers, labels, 10)
    assert known.class_precision == own_probe.precision(answers, labels, 10)
    assert known.recognition is not None
    assert known.recognition.refused == (~model.recognises(test.images)).mean()
    assert known.recognition.unknown["black"].images == 7
    assert known.elsewhere is None
    assert known.untrained is not None
    for value in (
        known.paper_probe, known.untrained.random_weights_paper_probe, known.untrained.raw_pixels_paper_probe
    ):  # fmt: skip
        assert value is not None
        assert 0 < value <= 1


def test_the_folder_is_whole(folder: Path) -> None:
    assert golden.verify(folder) == 0
    assert "model.recognises(left)" in (folder / "README.md").read_text()


def test_measured_again_it_is_the_same(model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the export measured of the probe, `measure` finds too, and the temperature that it can't see stays known."""
    monkeypatch.setattr(probes, "L2_GRID", (1e-2, 1e-1))
    monkeypatch.setattr(measure, "DRAWS", 2)
    train, test = part("train", 0, 5), part("test", 1, 5)
    again = measure.measure(model, train, test, {"black": np.zeros((7, 32, 32, 3), np.uint8)})
    known = model.evaluation
    assert known is not None
    for field in ("linear_probe", "paper_probe", "class_accuracy", "class_precision", "recognition"):
        assert getattr(again, field) == getattr(known, field), field
    assert again.calibration is not None
    assert known.calibration is not None
    assert again.calibration.temperature == known.calibration.temperature
    assert again.calibration.error_before == pytest.approx(known.calibration.error_before, abs=0.01)


def test_on_other_images_both_probes_are_measured(model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "L2_GRID", (1e-2, 1e-1))
    monkeypatch.setattr(measure, "DRAWS", 2)
    names = ("airplane", "bird", "automobile", "cat", "deer", "dog", "horse", "frog", "ship", "truck")
    train, test = (replace(one, name="others", classes=names) for one in (part("train", 0, 5), part("test", 1, 5)))
    found = measure.measure(model, train, test)
    assert not found.shipped_probe
    assert (found.calibration, found.recognition, found.class_precision) == (None, None, ())
    assert found.elsewhere is not None
    assert set(found.elsewhere.class_accuracy) == set(model.classes) - {"monkey"}
    labels = test.require_labels()
    right = model.classify(test.images).argmax(1) == labels
    expected = [right[labels == number].mean() for number in range(10) if number != 7]
    assert found.elsewhere.accuracy == pytest.approx(np.mean(expected))
