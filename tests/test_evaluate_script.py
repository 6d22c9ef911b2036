"""scripts/evaluate.py: a stand-in of STL-10 with two folds, measured as its authors do."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import rrzoo
import rrzoo.datasets
from conftest import REPOSITORY
from rrzoo import evaluate
from rrzoo.datasets import stl10
from rrzoo.retrieval import retrieval

COUNTS = {"train": 60, "test": 40}


def write(folder: Path, random: np.random.Generator) -> None:
    """Write ten classes of noise, each around a colour of its own."""
    folder.mkdir(parents=True)
    for split, count in COUNTS.items():
        labels = np.arange(count) % 10
        colours = np.random.default_rng(1).integers(60, 196, (10, 1, 1, 3))[labels]
        images = (colours + random.integers(-60, 60, (count, 96, 96, 3))).astype(np.uint8)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    folds = [random.permutation(60)[:30] for _ in range(2)]
    (folder / "fold_indices.txt").write_text("".join(" ".join(map(str, fold)) + "\n" for fold in folds))


def test_folds_are_measured(
    tmp_path: Path, random: np.random.Generator, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COUNTS": COUNTS, "FOLDS": 2, "FOLD_IMAGES": 30}.items():
        monkeypatch.setattr(stl10, name, value)
    write(tmp_path / "stl10-standin" / "stl10_binary", random)
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    script = runpy.run_path(str(REPOSITORY / "scripts" / "evaluate.py"))
    first, *rows = script["run"](model.name, "stl10-standin", tmp_path).splitlines()
    assert "not STL-10, test split: 60 images to fit to, 40 to measure on" in first
    printed = {row[:46].strip(): row[46:] for row in rows}

    train, test = (rrzoo.datasets.load("stl10-standin", split, tmp_path) for split in ("train", "test"))
    data = model.features(train.images), train.known_labels, model.features(test.images), test.known_labels
    l2 = evaluate.choose_l2(*data[:2])
    expected = {
        f"linear probe, L2 {l2:g}": evaluate.linear_probe_accuracy(*data, l2=l2),
        "linear probe, the paper's (Adam, 100 epochs)": evaluate.adam_probe_accuracy(*data),
        "20 nearest neighbours": evaluate.knn_accuracy(*data),
        "200 nearest neighbours": evaluate.knn_accuracy(*data, 200),
        "retrieval, map": retrieval(*data[2:])["map"],
    }
    for row, value in expected.items():
        assert printed[row] == f"{value:.2%}"
    each = [evaluate.linear_probe_accuracy(data[0][fold], data[1][fold], *data[2:]) for fold in train.folds]
    assert printed["linear probe, folds"] == (
        f"{50 * sum(each):.2f} ± {100 * abs(each[0] - each[1]) / 2**0.5:.2f}% (n = 2 folds)"
    )
    assert printed["linear probe, 10% of the labels"].endswith("(n = 5 draws)")
