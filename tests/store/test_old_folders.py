"""Folders that version 0.1.0 wrote are read for ever, and nothing of them is lost."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from conftest import REPOSITORY
from rrzoo import records
from rrzoo.measured import CalibrationBin, Evaluation, FineTuned, MeanStd
from rrzoo.store import card, evaluation_file, golden, model_folder
from rrzoo.store.save import save

OLD = REPOSITORY / "tests" / "fixtures" / "0.1.0"
RELATION, SIMCLR = "conv4-cifar10-relation", "conv4-cifar10-simclr"


@pytest.fixture(params=[RELATION, SIMCLR])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD / request.param, tmp_path / request.param))


def evaluations(folder: Path) -> dict[str, Evaluation]:
    known = evaluation_file.read(folder, model_folder.read_config(folder))
    assert known is not None
    return known.evaluations


def test_it_computes_what_it_did(folder: Path) -> None:
    assert golden.verify(folder, golden.OTHER_CPU_TOLERANCE) <= golden.OTHER_CPU_TOLERANCE
    assert model_folder.altered(folder) == ["index.faiss"]  # which the fixture goes without
    model = rrzoo.load(f"dir:{folder}")
    picture = np.zeros((40, 50, 3), np.uint8)
    assert model.classify(picture).shape == (1, 10)
    assert model.has_relation_head == (folder.name == RELATION)
    if model.has_relation_head:
        left, right = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
        assert model.relate(left, left) > model.relate(left, right)
        assert 0 < float(model.relation_percentile(model.relate(left, left))[0]) <= 1


def test_its_figures_are_one_record() -> None:
    """Those of the export first: the probe is the one in the model, not the one that was fitted for measuring."""
    own = rrzoo.load(f"dir:{OLD / SIMCLR}").evaluation
    assert own is not None
    assert (own.linear_probe, own.linear_probe_l2, own.shipped_probe) == (0.5082, 1e-5, True)
    assert (own.data, own.split) == ("CIFAR-10 (JPEG-coded copy)", "test")
    assert (own.paper_probe, own.knn, own.relation) == (0.5028, {"20": 0.511, "200": 0.4891}, None)
    assert own.few_labels["1%"] == MeanStd(0.42168, 0.015544677545706773, 5)
    assert own.untrained is not None
    assert (own.untrained.random_weights_linear_probe, own.untrained.raw_pixels_knn) == (0.4094, 0.363)
    assert len(own.class_accuracy) == 10

    own, transfer = (evaluations(OLD / RELATION)[name] for name in ("cifar10", "stl10-standin"))
    assert own.relation is not None
    assert (own.relation.auc_same_image, own.relation.calibration_error) == (0.895084975, 0.029028610638591107)
    assert own.relation.calibration[0] == CalibrationBin(4470, 0.029856271066444055, 0.052796420581655484)
    assert (transfer.linear_probe, transfer.linear_probe_l2, transfer.shipped_probe) == (0.488875, 0.01, False)
    assert transfer.folds == MeanStd(0.4434125, 0.014086667504732583, 10)


def test_its_card_renders(folder: Path) -> None:
    known = evaluations(folder)
    text = card.render(model_folder.read_config(folder), known)
    probe = f"| this model | {known['cifar10'].linear_probe:.2%} |"
    for part in (probe, "| raw pixels | 40.04% | - | 36.30% |", "| airplane |", "K = ", "1% of the labels"):
        assert part in text


def test_without_evaluation_json_the_config_has_the_figures(folder: Path) -> None:
    (folder / "evaluation.json").unlink()
    model_folder.write_manifest(folder)
    own = rrzoo.load(f"dir:{folder}").evaluation
    assert own is not None
    assert own.linear_probe == {RELATION: 0.5301, SIMCLR: 0.5082}[folder.name]
    assert own.paper_probe is None


def test_the_next_measurement_writes_the_new_form(folder: Path) -> None:
    model_folder.write_manifest(folder)  # without the index
    before = evaluations(folder)
    tuned = replace(before["cifar10"], fine_tuned={"1%": FineTuned(0.5, 500, 60)})
    evaluation_file.check(folder)
    evaluation_file.add(folder, tuned)
    content = json.loads((folder / "evaluation.json").read_text())
    assert content["format"] == 2
    assert "reports" not in content
    assert content["evaluations"]["cifar10"]["linear_probe"] == tuned.linear_probe
    assert evaluations(folder) == before | {"cifar10": tuned}
    assert model_folder.altered(folder) == []


def test_a_model_that_is_saved_again_has_one_record(folder: Path, tmp_path: Path) -> None:
    model = rrzoo.load(f"dir:{folder}")
    save(model, tmp_path / "again", evaluation=model.evaluation)
    content = json.loads((tmp_path / "again" / "config.json").read_text())
    old = json.loads((folder / "config.json").read_text())
    assert content == {key: value for key, value in old.items() if key != "evaluation"}
    assert records.to_dict(model.config) == old
    assert rrzoo.load(f"dir:{tmp_path / 'again'}").evaluation == model.evaluation
