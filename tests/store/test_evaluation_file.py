"""evaluation.json: strict, never half written, in step with manifest and card."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from rrzoo import errors, hub, zoo
from rrzoo.evaluation import report_text
from rrzoo.evaluation.records import CalibrationBin, FineTuned, MeanStd, RelationQuality, Report, Reports
from rrzoo.store import card, evaluation_file, model_folder

REPORT = Report(
    dataset="cifar100-20",
    data="CIFAR-100, 20 superclasses",
    split="test",
    trained_dataset="cifar10",
    trained_on="CIFAR-10",
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
    (copy / "README.md").write_text(card.render(model_folder.read_config(copy)))
    model_folder.write_manifest(copy)
    return copy


def reports(folder: Path) -> Reports:
    read = evaluation_file.read(folder)
    assert read is not None
    return read


def test_a_report_enters_file_manifest_and_card(folder: Path) -> None:
    before = model_folder.read_manifest(folder).sha256
    assert evaluation_file.read(folder) is None
    assert evaluation_file.add(folder, REPORT)
    assert reports(folder).reports == {"cifar100-20": REPORT}
    after = model_folder.read_manifest(folder).sha256
    assert {name: digest for name, digest in after.items() if name != "evaluation.json"} == before
    assert model_folder.altered(folder) == []
    assert (folder / "README.md").read_text() == card.render(model_folder.read_config(folder), reports(folder))
    assert "evaluation.json (" in hub.publish(folder, hub.Source("me/conv4-cifar10"), dry_run=True)
    assert not list(folder.glob(".*"))

    own = dataclasses.replace(REPORT, dataset="cifar10", data="CIFAR-10", linear_probe=0.6)
    assert evaluation_file.add(folder, own)
    assert reports(folder).reports == {"cifar10": own, "cifar100-20": REPORT}
    assert evaluation_file.add(folder, dataclasses.replace(own, linear_probe=0.7))
    assert reports(folder).reports["cifar10"].linear_probe == 0.7
    assert model_folder.altered(folder) == []


def test_the_card_has_every_figure(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(REPORT, fine_tuned={"100%": FineTuned(0.71, 50_000, 10)}))
    text = (folder / "README.md").read_text()
    for part in (
        "### Transfer from CIFAR-10 to CIFAR-100, 20 superclasses, test split\n",
        "| linear probe, L2 1e-05 | 50.00% |",
        "| linear probe, 1% of the labels | 31.00 ± 1.20% (n = 5 draws) |",
        "| fine-tuning, 100% of the labels | 71.00% (50,000 images, 10 epochs) |",
        "| retrieval, mean average precision | 20.00%; re-ranked 21.00% (+1.00) |",
        "| retrieval, precision@1 | 30.00%; re-ranked 28.00% (-2.00) |",
        "| relation score, AUC, same image | 0.950 |",
        "| 0.910 | 0.800 | 5 |",
    ):
        assert part in text
    assert text.index("## Accuracy") < text.index("## Evaluation in detail") < text.index("## Training")


def test_a_model_without_a_relation_head(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(REPORT, reranked=None, relation=None))
    text = (folder / "README.md").read_text()
    assert "| retrieval, mean average precision | 20.00% |" in text
    assert "relation score, AUC" not in text
    line = report_text.table([(model_folder.read_config(folder), reports(folder))]).splitlines()[-1]
    assert line.endswith("| 20.00% | - | - | - | - |")


def test_what_fine_tuning_reached_stays_while_weights_and_data_do(folder: Path) -> None:
    tuned = {"100%": FineTuned(0.71, 50_000, 10)}
    evaluation_file.add(folder, dataclasses.replace(REPORT, fine_tuned=tuned))
    evaluation_file.add(folder, dataclasses.replace(REPORT, linear_probe=0.51))
    assert reports(folder).reports["cifar100-20"].fine_tuned == tuned
    evaluation_file.add(folder, dataclasses.replace(REPORT, train_images=49_999))
    assert reports(folder).reports["cifar100-20"].fine_tuned == {}


def test_an_edited_card_stays(folder: Path) -> None:
    edited = (folder / "README.md").read_text() + "\nOur own words.\n"
    (folder / "README.md").write_text(edited)
    assert not evaluation_file.add(folder, REPORT)
    assert (folder / "README.md").read_text() == edited
    assert model_folder.altered(folder) == []


def test_reports_on_other_weights_are_refused_and_replaced(folder: Path) -> None:
    evaluation_file.add(folder, dataclasses.replace(REPORT, dataset="cifar10"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(errors.ModelFolderError, match=r"model\.safetensors changed since the export"):
        evaluation_file.check(folder)
    model_folder.write_manifest(folder)  # trained anew
    with pytest.raises(errors.ModelFolderError, match=r"other weights: run python scripts/evaluate\.py conv4-cifar10"):
        evaluation_file.read(folder)
    evaluation_file.check(folder)
    evaluation_file.add(folder, REPORT)
    assert list(reports(folder).reports) == ["cifar100-20"]


def test_an_interruption_is_noticed_and_mended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "manifest.json":
            raise OSError("no space left")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(errors.ModelFolderError, match="can't be updated: no space left"):
        evaluation_file.add(folder, REPORT)
    monkeypatch.undo()
    evaluation_file.check(folder)  # what is unfinished does not stand in the way
    model_folder.verify(folder)
    evaluation_file.add(folder, REPORT)
    assert model_folder.altered(folder) == []


def report_with(**fields: object) -> str:
    return json.dumps({"weights": "0", "reports": {"x": dataclasses.asdict(REPORT) | fields}})


DAMAGE = {
    "cut": ('{"weights": "', "can't be read"),
    "a list": ("[]", "an object is needed"),
    "unknown field": (report_with(colour=1), "unknown field 'colour'"),
    "newer": ('{"weights": "0", "reports": {}, "format": 9}', "format 9, this version reads 1: upgrade"),
    "no number": (report_with(seconds=""), r"x\.seconds is ''"),
    "infinite": (report_with(seconds=1e999), r"x\.seconds is inf"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(folder: Path, damage: str) -> None:
    content, message = DAMAGE[damage]
    (folder / "evaluation.json").write_text(content)
    for refuses in (evaluation_file.read, evaluation_file.check):
        with pytest.raises(errors.ModelFolderError, match=message):
            refuses(folder)


def test_the_subject_says_what_a_data_set_is_to_the_model() -> None:
    def subject(dataset: str, trained: str) -> str:
        return dataclasses.replace(REPORT, dataset=dataset, trained_dataset=trained, trained_on=trained).subject

    data = "CIFAR-100, 20 superclasses, test split"
    assert subject("cifar10", "cifar10") == f"{data}, the data set it was pre-trained on"
    assert subject("cifar100-20", "cifar100") == f"{data}, the images it was pre-trained on with other classes"
    assert subject("cifar100-20", "tinyimagenet") == f"transfer from tinyimagenet to {data}"
    assert subject("cifar10", "") == data
