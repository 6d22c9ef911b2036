"""scripts/evaluate.py: synthetic STL-10 with folds and synthetic CIFAR-100, measured into a model's folder."""

import re
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rrzoo
import rrzoo.datasets
from conftest import REPOSITORY, write_cifar10
from rrzoo import zoo
from rrzoo.config import Architecture, ModelConfig
from rrzoo.datasets import cifar, stl10
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.evaluation import measure, neighbours, probes
from rrzoo.evaluation.retrieval import reranked_retrieval
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.save import save

NAME = "conv4-cifar10-relation"  # of small images
MEAN = (0.5, 0.5, 0.5)
COUNTS = {"train": 60, "test": 40}

Script = Callable[..., str]


@pytest.fixture(autouse=True)
def few_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose from two regularisers, and draw few labels twice: that is quick."""
    monkeypatch.setattr(probes, "L2_GRID", (1e-2, 1e-1))
    monkeypatch.setattr(measure, "DRAWS", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model in the zoo of the test."""
    return Path(shutil.copytree(zoo.SHIPPED / NAME, tmp_path / "zoo" / NAME))


@pytest.fixture
def model() -> rrzoo.Model:
    return zoo.load(NAME)


@pytest.fixture
def script(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs the script and returns what it prints."""
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    main = runpy.run_path(str(REPOSITORY / "scripts" / "evaluate.py"))["main"]

    def run(*arguments: str) -> str:
        main(arguments)
        return capsys.readouterr().out

    return run


def write_stl10(folder: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write ten classes of noise, each around a colour of its own, and two folds."""
    monkeypatch.setitem(CATALOGUE, "stl10-standin", replace(CATALOGUE["stl10-standin"], splits=COUNTS))
    for name, value in {"FOLDS": 2, "FOLD_IMAGES": 30}.items():
        monkeypatch.setattr(stl10, name, value)
    folder.mkdir(parents=True)
    for split, count in COUNTS.items():
        labels = np.arange(count) % 10
        colours = np.random.default_rng(1).integers(60, 196, (10, 1, 1, 3))[labels]
        images = (colours + random.integers(-60, 60, (count, 96, 96, 3))).astype(np.uint8)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    folds = [random.permutation(60)[:30] for _ in range(2)]
    (folder / "fold_indices.txt").write_text("".join(" ".join(map(str, fold)) + "\n" for fold in folds))


def write_cifar100(root: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write 40 images of ten classes for training and 40 for test, in the binary archive's form."""
    for name in ("cifar100", "cifar100-20"):
        monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], splits={"train": 40, "test": 40}))
    folder = root / cifar.LAYOUT100.binary
    folder.mkdir()
    labels = np.arange(40) % 10 * 7
    for split in ("train", "test"):
        pixels = random.integers(0, 256, (40, cifar.PIXELS), dtype=np.uint8)
        records = np.concatenate([np.stack([cifar.COARSE[labels], labels], 1).astype(np.uint8), pixels], 1)
        (folder / f"{split}.bin").write_bytes(records.tobytes())


def test_another_data_set_is_measured(
    tmp_path: Path,
    script: Script,
    folder: Path,
    random: np.random.Generator,
    model: rrzoo.Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_stl10(tmp_path / "stl10-standin" / "stl10_binary", random, monkeypatch)
    first, *rows = script(NAME, "--dataset", "stl10-standin", "--data", str(tmp_path)).splitlines()
    assert "transfer from CIFAR-10 (JPEG-coded copy) to STL-10 stand-in" in first
    assert "not STL-10, test split: 60 images to fit to, 40 to measure on, 10 classes" in first
    printed = {row[:46].strip(): row[46:] for row in rows}

    train, test = (rrzoo.datasets.load("stl10-standin", split, tmp_path) for split in ("train", "test"))
    data = model.features(train.images), train.require_labels(), model.features(test.images), test.require_labels()
    l2 = probes.choose_l2(*data[:2])
    expected = {
        f"linear probe, L2 {l2:g}": probes.linear_probe_accuracy(*data, l2=l2),
        "linear probe, the paper's (Adam, 100 epochs)": probes.adam_probe_accuracy(*data),
        "20 nearest neighbours": neighbours.knn_accuracy(*data),
        "200 nearest neighbours": neighbours.knn_accuracy(*data, 200),
    }
    for row, value in expected.items():
        assert printed[row] == f"{value:.2%}"
    each = probes.linear_probe_fold_accuracies(*data, np.array(train.folds))
    assert printed["linear probe, folds"] == (
        f"{50 * sum(each):.2f} ± {100 * abs(each[0] - each[1]) / 2**0.5:.2f}% (n = 2 folds)"
    )
    assert printed["linear probe, 10% of the labels"].endswith("(n = 2 draws)")

    def relate(queries: np.ndarray, hits: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                model.relate_features(data[2][[q] * hits.shape[1]], data[2][h])
                for q, h in zip(queries, hits, strict=True)
            ]
        )

    plain, anew = reranked_retrieval(*data[2:], relate, 100)
    known = evaluation_file.read(folder, model.config)
    assert known is not None
    evaluation = known.evaluations["stl10-standin"]
    assert (evaluation.retrieval, evaluation.reranked) == (plain, pytest.approx(anew, abs=1e-4))
    assert not evaluation.shipped_probe
    assert model_folder.altered(folder) == []


def test_the_models_own_data_set_is_measured_with_the_models_own_probe(
    tmp_path: Path, script: Script, folder: Path, model: rrzoo.Model
) -> None:
    """One linear probe a data set: the one that `classify` uses; and what the export measured stays, if it is known."""
    write_cifar10(tmp_path, per_class=4)
    exported = model.evaluation
    assert exported is not None
    printed = script(NAME, "--data", str(tmp_path))
    test = rrzoo.datasets.load("cifar10", "test", tmp_path)
    right = model.classify(test.images).argmax(1) == test.labels
    assert f"linear probe, L2 1e-05                        {right.mean():.2%}" in printed.splitlines()
    own = zoo.load(NAME).evaluation
    assert own is not None
    assert (own.linear_probe, own.linear_probe_l2, own.shipped_probe) == (right.mean(), 1e-5, True)
    assert own.class_accuracy == tuple(right[test.labels == number].mean() for number in range(10))
    assert own.untrained is None  # of other images than these 40
    script(NAME, "--data", str(tmp_path))
    assert model_folder.altered(folder) == []


def test_long_names_are_kept_apart_from_their_figures(tmp_path: Path, script: Script) -> None:
    write_cifar10(tmp_path, per_class=4)
    shutil.copytree(zoo.SHIPPED / "conv4-cifar10", tmp_path / "zoo" / "conv4-cifar10")
    assert re.search(
        r"^not recognised, clay10 .*, of the same classes  \d",
        script("conv4-cifar10", "--data", str(tmp_path)),
        re.MULTILINE,
    )


def test_coarse_classes_and_fine_tuning_and_the_table(
    tmp_path: Path, script: Script, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar100(tmp_path, random, monkeypatch)
    monkeypatch.setattr(measure, "FINE_TUNING", {1.0: 2})
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "nothing")  # some of what ships is measured, too
    printed = script(NAME, "--dataset", "cifar100-20", "--data", str(tmp_path), "--fine-tune")
    assert "transfer from CIFAR-10 (JPEG-coded copy) to CIFAR-100, 20 superclasses, test split" in printed
    assert "40 to measure on, 20 classes" in printed
    assert "(40 images, 2 epochs)" in printed
    script(NAME, "--dataset", "cifar100", "--data", str(tmp_path))
    head, _, *lines = script("--table").splitlines()
    assert script("--table", NAME).splitlines() == [head, _, *lines]
    coarse, fine = (line for line in lines if "CIFAR-100" in line)
    assert fine.startswith(f"| `{NAME}` | CIFAR-100 (transfer) | relation | 1.5 M |")
    assert coarse.startswith(f"| `{NAME}` | CIFAR-100, 20 superclasses (transfer) | relation | 1.5 M |")
    assert len({line.count("|") for line in (head, _, fine, coarse)}) == 1


def test_a_model_without_a_relation_head_is_measured(
    tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar100(tmp_path, random, monkeypatch)
    bare = zoo.load(NAME)
    bare.relation_head = None  # type: ignore[assignment]  # as other pretext tasks leave it
    train, test = (rrzoo.datasets.load("cifar100", split, tmp_path) for split in ("train", "test"))
    report = measure.measure(bare, train, test)
    assert (report.relation, report.reranked) == (None, None)
    assert set(report.retrieval) == {"map", "precision@1", "precision@10"}


REFUSED = {
    "no name": ([], "name at least one model"),
    "an unknown model": (["conv4-cifar11"], "did you mean conv4-cifar10"),
    "an unknown data set": ([NAME, "--dataset", "cifar11"], "did you mean cifar10"),
    "classes of one image": ([NAME, "--dataset", "dir:{}/three"], "no two images of the test split"),
    "one split": ([NAME, "--dataset", "dir:{}/one"], "none of the 1 images of .*one is left for its test split"),
    "other classes": ([NAME, "--dataset", "dir:{}/two"], r"not of the same classes \(b is in one"),
    "a table of what is not measured": (["--table", "bare"], "bare has not been measured"),
    "a table of a data set": (["--table", "--dataset", "cifar10"], "--table measures nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_user_can_mend(
    case: str, tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "nothing")
    arguments, message = REFUSED[case]
    picture = next((REPOSITORY / "rrzoo" / "datasets" / "clay10" / "sheets" / "test").iterdir())
    save(rrzoo.Model(ModelConfig("bare", Architecture("conv4", 16, MEAN, MEAN))), tmp_path / "zoo" / "bare")
    for place in ("one/a", "two/train/a", "two/test/b", "three/train/a", "three/test/a"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(picture, tmp_path / place)
    with pytest.raises(SystemExit) as stopped:
        script(*(argument.format(tmp_path) for argument in arguments))
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])
