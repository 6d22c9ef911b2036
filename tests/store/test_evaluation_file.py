"""evaluation.json: never half written, in step with manifest and card, and no reason to lose a model."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

import rrzoo
from rrzoo import errors, hub, records, zoo
from rrzoo.config import ModelConfig, Training
from rrzoo.evaluation import report
from rrzoo.measured import (
    CalibrationBin,
    Elsewhere,
    Evaluation,
    Evaluations,
    FineTuned,
    MeanStd,
    ProbeCalibration,
    Recognition,
    Refused,
    RelationQuality,
    Untrained,
)
from rrzoo.store import card, evaluation_file, format_1, golden, model_folder

TRANSFER = Evaluation(
    dataset="cifar100-20",
    data="CIFAR-100, 20 superclasses",
    split="test",
    train_images=50_000,
    test_images=10_000,
    classes=20,
    linear_probe=0.5,
    linear_probe_l2=1e-5,
    paper_probe=0.49,
    knn={"20": 0.4},
    retrieval={"map": 0.2, "precision@1": 0.3},
    few_labels={"1%": MeanStd(0.31, 0.012, 5)},
    folds=None,
    reranked={"map": 0.21, "precision@1": 0.28},
    relation=RelationQuality(0.95, 0.66, 0.034, (CalibrationBin(7, 0.1, 0.2), CalibrationBin(5, 0.91, 0.8))),
    seconds=1.5,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model, as it was before anything was measured."""
    copy = Path(shutil.copytree(zoo.SHIPPED / "conv4-cifar10", tmp_path / "conv4-cifar10"))
    (copy / "evaluation.json").unlink(missing_ok=True)
    config = format_1.without_evaluation(model_folder.read_config(copy))
    (copy / "config.json").write_text(records.to_json(config))
    (copy / "README.md").write_text(card.render(config))
    model_folder.write_manifest(copy)
    return copy


def config_of(folder: Path) -> ModelConfig:
    return model_folder.read_config(folder)


def read(folder: Path) -> Evaluations | None:
    return evaluation_file.read(folder, config_of(folder))


def evaluations(folder: Path) -> dict[str, Evaluation]:
    known = read(folder)
    assert known is not None
    return known.evaluations


def test_a_measurement_enters_file_manifest_and_card(folder: Path) -> None:
    before = model_folder.read_manifest(folder).sha256
    assert read(folder) is None
    assert rrzoo.load(f"dir:{folder}").evaluation is None
    assert evaluation_file.add(folder, TRANSFER)
    assert evaluations(folder) == {"cifar100-20": TRANSFER}
    after = model_folder.read_manifest(folder).sha256
    assert {name: digest for name, digest in after.items() if name != "evaluation.json"} == before
    assert model_folder.altered(folder) == []
    assert (folder / "README.md").read_text() == card.render(config_of(folder), evaluations(folder))
    assert "evaluation.json (" in hub.publish(folder, hub.Source("me/conv4-cifar10"), dry_run=True)
    assert not list(folder.glob(".*"))

    own = dataclasses.replace(TRANSFER, dataset="cifar10", data="CIFAR-10", linear_probe=0.6, shipped_probe=True)
    assert evaluation_file.add(folder, own)
    assert evaluations(folder) == {"cifar10": own, "cifar100-20": TRANSFER}
    assert evaluation_file.add(folder, dataclasses.replace(own, linear_probe=0.7))
    assert evaluations(folder)["cifar10"].linear_probe == 0.7
    loaded = rrzoo.load(f"dir:{folder}").evaluation
    assert loaded is not None
    assert loaded.linear_probe == 0.7
    assert "linear probe 70.0% on CIFAR-10, test split" in zoo_line(folder)
    assert model_folder.altered(folder) == []


def test_the_card_has_every_figure(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, fine_tuned={"100%": FineTuned(0.71, 50_000, 10)}))
    text = (folder / "README.md").read_text()
    for part in (
        "### Transfer from CIFAR-10 (JPEG-coded copy) to CIFAR-100, 20 superclasses, test split\n",
        "| linear probe, L2 1e-05 | 50.00% |",
        "| linear probe, 1% of the labels | 31.00 ± 1.20% (n = 5 draws) |",
        "| fine-tuning, 100% of the labels | 71.00% (50,000 images, 10 epochs) |",
        "| retrieval, mean average precision | 20.00%; re-ranked 21.00% (+1.00) |",
        "| retrieval, precision@1 | 30.00%; re-ranked 28.00% (-2.00) |",
        "| relation score, AUC, same image | 0.950 |",
        "| 0.910 | 0.800 | 5 |",
    ):
        assert part in text
    assert text.index("## Evaluation in detail") < text.index("## Intended use") < text.index("## Training")


def test_a_model_without_a_relation_head(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, reranked=None, relation=None))
    text = (folder / "README.md").read_text()
    assert "| retrieval, mean average precision | 20.00% |" in text
    assert "relation score, AUC" not in text
    line = report.table([(config_of(folder), evaluations(folder))]).splitlines()[-1]
    assert line.endswith("| 20.00% | - | - | - | - |")


def test_what_fine_tuning_reached_stays_while_weights_and_data_do(folder: Path) -> None:
    tuned = {"100%": FineTuned(0.71, 50_000, 10)}
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, fine_tuned=tuned))
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, linear_probe=0.51))
    assert evaluations(folder)["cifar100-20"].fine_tuned == tuned
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, train_images=49_999))
    assert evaluations(folder)["cifar100-20"].fine_tuned == {}


def test_an_edited_card_stays(folder: Path) -> None:
    edited = (folder / "README.md").read_text() + "\nOur own words.\n"
    (folder / "README.md").write_text(edited)
    assert not evaluation_file.add(folder, TRANSFER)
    assert (folder / "README.md").read_text() == edited
    assert model_folder.altered(folder) == []


def test_measurements_of_other_weights_are_refused_and_replaced(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, dataset="cifar10"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(errors.ModelFolderError, match=r"model\.safetensors changed since the export"):
        evaluation_file.check(folder)
    model_folder.write_manifest(folder)  # trained anew
    with pytest.raises(errors.ModelFolderError, match=r"other weights: run python -m rrzoo evaluate conv4-cifar10"):
        read(folder)
    evaluation_file.check(folder)
    evaluation_file.add(folder, TRANSFER)
    assert list(evaluations(folder)) == ["cifar100-20"]


def test_an_interruption_is_noticed_and_mended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "manifest.json":
            raise OSError("no space left")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(errors.ModelFolderError, match="can't be updated: no space left"):
        evaluation_file.add(folder, TRANSFER)
    monkeypatch.undo()
    evaluation_file.check(folder)  # what is unfinished does not stand in the way
    golden.verify(folder)
    evaluation_file.add(folder, TRANSFER)
    assert model_folder.altered(folder) == []


DAMAGE = {
    "cut": ('{"weights": "', "can't be read"),
    "a list": ("[]", "an object is needed"),
    "no weights": ('{"evaluations": {}, "format": 2}', "lacks the field 'weights'"),
    "newer": ('{"weights": "0", "evaluations": {}, "format": 9}', "format 9, this version reads 2: upgrade"),
    "nested": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_where_it_would_be_written_over(folder: Path, damage: str) -> None:
    """A model can be used all the same: what it computes does not depend on what was measured."""
    content, message = DAMAGE[damage]
    (folder / "evaluation.json").write_text(content)
    for refuses in (read, evaluation_file.check):
        with pytest.raises(errors.ModelFolderError, match=message):
            refuses(folder)
    assert rrzoo.load(f"dir:{folder}").evaluation is None


def test_what_newer_versions_measure_stays(folder: Path) -> None:
    """Unknown figures, and those of another form, are kept as they came while others are added."""
    own = dataclasses.replace(TRANSFER, dataset="cifar10", shipped_probe=True)
    evaluation_file.add(folder, own)
    path = folder / "evaluation.json"
    content = json.loads(path.read_text())
    content["evaluations"]["cifar10"] |= {"robustness": [0.25, "x"], "folds": "ten", "knn": {"20": 0.4, "50": None}}
    content["evaluations"]["later"] = {"another": "form"}
    content |= {"measured_by": {"rrzoo": "9"}}
    path.write_text(json.dumps(content))
    assert evaluations(folder) == {"cifar10": own}
    evaluation_file.add(folder, TRANSFER)
    evaluation_file.add(folder, dataclasses.replace(own, paper_probe=0.75))
    content["evaluations"]["cifar10"]["paper_probe"] = 0.75
    content["evaluations"]["cifar100-20"] = json.loads(json.dumps(dataclasses.asdict(TRANSFER)))
    assert json.loads(path.read_text()) == content
    evaluation_file.add(folder, dataclasses.replace(own, train_images=49_999))  # other images: nothing of it is kept
    assert set(json.loads(path.read_text())["evaluations"]["cifar10"]) == {
        field.name for field in dataclasses.fields(Evaluation)
    }


def test_a_card_shows_one_linear_probe_a_data_set(folder: Path) -> None:
    own = dataclasses.replace(TRANSFER, dataset="cifar10", data="CIFAR-10", linear_probe=0.6125, shipped_probe=True)
    evaluation_file.add(folder, own)
    evaluation_file.add(folder, TRANSFER)
    text = (folder / "README.md").read_text()
    assert text.count("| linear probe, L2") == 1  # of the transfer
    assert text.count("61.25%") == 1
    assert "solved to convergence, with L2 1e-05 " in text


OWN = dataclasses.replace(
    TRANSFER,
    dataset="cifar10",
    data="CIFAR-10",
    classes=10,
    linear_probe=0.6125,
    paper_probe=0.5875,
    shipped_probe=True,
    class_accuracy=tuple(number / 10 for number in range(10)),
    class_precision=(None, *(number / 20 for number in range(9))),
    calibration=ProbeCalibration(0.0123, 1.31, 0.0789),
    recognition=Recognition(0.051, {"noise": Refused(500, 0.91, 0.987)}),
    untrained=Untrained(0.41, 0.39, 0.40, 0.36, 0.38, 0.37),
)
PHOTOGRAPHS = dataclasses.replace(
    TRANSFER, dataset="stl10", data="STL-10", elsewhere=Elsewhere(7_200, 0.49, {"airplane": 0.6, "automobile": 0.38})
)


def test_the_card_says_what_the_probe_is_worth(folder: Path) -> None:
    evaluation_file.add(folder, OWN)
    evaluation_file.add(folder, PHOTOGRAPHS)
    text = (folder / "README.md").read_text()
    for part in (
        "| features | linear probe | the paper's probe | 20 nearest neighbours |",
        "| this model | 61.25% | 58.75% | 40.00% |",
        "| random weights, same backbone | 41.00% | 38.00% | 39.00% |",
        "| raw pixels | 40.00% | 37.00% | 36.00% |",
        "| airplane | 0.0% | - |",
        "| truck | 90.0% | 40.0% |",
        "0.012. Before a temperature was fitted, 1.31 on held-out training images, it was\n0.079.",
        "| STL-10, test split | 49.00% | 2 | 7,200 |",
        "of the test images 5.1% are refused",
        "| noise | 91.0% | 0.987 | 500 |",
    ):
        assert part in text
        assert text.count(part) == 1
    assert evaluations(folder) == {"cifar10": OWN, "stl10": PHOTOGRAPHS}


def test_the_terminal_says_what_the_probe_is_worth() -> None:
    rows = report.rows(OWN) | report.rows(PHOTOGRAPHS)
    assert rows["own probe, calibration error"] == "0.012; before its temperature of 1.31 0.079"
    assert rows["not recognised, test images"] == "5.10%, wrongly"
    assert rows["not recognised, noise"] == "91.00%, rightly; AUC 0.987"
    assert rows["photographs, by the model's own probe"] == "49.00% (mean over 2 classes in common)"
    small = report.rows(dataclasses.replace(PHOTOGRAPHS, dataset="cifar10"))
    assert "these images, by the model's own probe" in small


HOSTILE = {
    "class_precision": ["half", [None, "x"], {}, 0.5],
    "calibration": ["good", {"temperature": 2}, [], {"error": "NaN"}, {"error": None}],
    "elsewhere": [{"images": 7}, 3, {"images": 7, "accuracy": [0.5]}],
    "recognition": ["never", {"unknown": {}}, {"refused": {}}],
    "untrained": [{"random_weights_linear_probe": 0.4}, [], "none"],
}


@pytest.mark.parametrize("field", HOSTILE)
def test_what_cannot_be_read_is_not_known(folder: Path, field: str) -> None:
    """A field of another form costs that figure alone: the others, the model and its card stay."""
    evaluation_file.add(folder, OWN)
    path = folder / "evaluation.json"
    content = json.loads(path.read_text())
    default = next(one.default for one in dataclasses.fields(Evaluation) if one.name == field)
    for value in HOSTILE[field]:
        content["evaluations"]["cifar10"][field] = value
        path.write_text(json.dumps(content))
        known = evaluations(folder)["cifar10"]
        assert known == dataclasses.replace(OWN, **{field: default})
        assert "None" not in card.render(config_of(folder), {"cifar10": known})


def test_figures_of_before_are_read_without_what_was_not_measured_then(folder: Path) -> None:
    """What ships was measured by an earlier version of rrzoo: half of the figures, the rest is not known."""
    evaluation_file.add(folder, OWN)
    path = folder / "evaluation.json"
    content = json.loads(path.read_text())
    one = content["evaluations"]["cifar10"]
    for field in ("class_precision", "calibration", "elsewhere", "recognition", "paper_probe"):
        del one[field]
    one["untrained"] = {key: value for key, value in one["untrained"].items() if "paper" not in key}
    path.write_text(json.dumps(content))
    known = evaluations(folder)["cifar10"]
    assert known.untrained == Untrained(0.41, 0.39, 0.40, 0.36)
    text = card.render(config_of(folder), {"cifar10": known})
    assert "| this model | 61.25% | - | 40.00% |" in text
    assert "| raw pixels | 40.00% | - | 36.00% |" in text
    assert "| truck | 90.0% | - |" in text
    for claim in ("None", "## Pictures of none", "How far its probabilities"):
        assert claim not in text


def test_fine_tuning_names_its_optimiser(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(TRANSFER, fine_tuned={"100%": FineTuned(0.71, 50_000, 10)}))
    assert (
        "Fine-tuning: backbone and classifier, on random crops and mirrored images, with Muon, n = 1."
        in (folder / "README.md").read_text()
    )


def zoo_line(folder: Path) -> str:
    """Return what the zoo says of a model."""
    copy = Path(os.environ["RRZOO_ZOO"]) / folder.name
    shutil.copytree(folder, copy)
    line = rrzoo.list_models()[folder.name]
    shutil.rmtree(copy)
    return line


def test_the_subject_says_what_a_data_set_is_to_the_model() -> None:
    recipe = model_folder.read_config(zoo.SHIPPED / "conv4-cifar10").training.recipe

    def subject(dataset: str, trained: str) -> str:
        training = Training(dataclasses.replace(recipe, dataset=trained), data=trained)
        return report.subject(dataclasses.replace(TRANSFER, dataset=dataset), training)

    data = "CIFAR-100, 20 superclasses, test split"
    assert subject("cifar10", "cifar10") == f"{data}, the data set it was pre-trained on"
    assert subject("cifar100-20", "cifar100") == f"{data}, the images it was pre-trained on with other classes"
    assert subject("cifar100-20", "tinyimagenet") == f"transfer from tinyimagenet to {data}"
    assert report.subject(TRANSFER, None) == data
