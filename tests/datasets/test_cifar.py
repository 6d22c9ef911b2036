"""CIFAR from synthetic archives in both original forms, and from trees of image files."""

import io
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import write_cifar10
from rrzoo import datasets, errors
from rrzoo.datasets import cifar
from rrzoo.datasets.catalogue import CATALOGUE


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the archives hold 20 images in place of 60,000; the rest of the layout stays."""
    for name in ("cifar10", "cifar100", "cifar100-20"):
        monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], splits={"train": 10, "test": 10}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def contents(layout: cifar.Layout) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images (20, 32, 32, 3) and labels (20,), by file."""
    random = np.random.default_rng(len(layout.classes))
    files = [file for split in ("train", "test") for file in layout.files[split]]
    return {
        file: (
            random.integers(0, 256, (10 // (len(files) - 1), 32, 32, 3), dtype=np.uint8),
            random.integers(0, len(layout.classes), 10 // (len(files) - 1)),
        )
        for file in files
        if file != "test_batch" and file != "test"
    } | {files[-1]: (random.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8), np.arange(10))}


def keys(layout: cifar.Layout, labels: np.ndarray) -> list[np.ndarray]:
    return [cifar.COARSE[labels], labels] if len(layout.label_keys) == 2 else [labels]


def write_binary(root: Path, layout: cifar.Layout) -> Path:
    folder = root / layout.binary
    folder.mkdir(parents=True)
    for file, (images, labels) in contents(layout).items():
        numbers = np.stack(keys(layout, labels), 1).astype(np.uint8)
        records = np.concatenate([numbers, images.transpose(0, 3, 1, 2).reshape(len(images), -1)], 1)
        (folder / f"{file}.bin").write_bytes(records.tobytes())
    return folder


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]  # the one written in Python can be changed
    """Writes bytes as Python 2, which made the original files, wrote its strings."""

    def save_bytes(self, content: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(content)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}  # type: ignore[attr-defined]  # noqa: RUF012


def python2_pickle(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_python(root: Path, layout: cifar.Layout) -> Path:
    folder = root / layout.python
    folder.mkdir(parents=True)
    for file, (images, labels) in contents(layout).items():
        data = images.transpose(0, 3, 1, 2).reshape(len(images), -1).copy()
        batch = {b"data": data, b"filenames": [b"x.png"] * len(images)}
        batch |= {k: v.tolist() for k, v in zip(layout.label_keys, keys(layout, labels), strict=True)}
        (folder / file).write_bytes(python2_pickle(batch))
    return folder


WRITERS = {"binary": write_binary, "python": write_python}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "cifar100-20"])
def test_archives(root: Path, form: str, name: str) -> None:
    layout = cifar.LAYOUT10 if name == "cifar10" else cifar.LAYOUT100
    WRITERS[form](root, layout)
    expected = contents(layout)
    for split in ("train", "test"):
        images, labels = (np.concatenate([expected[file][i] for file in layout.files[split]]) for i in (0, 1))
        loaded = datasets.load(name, split)
        np.testing.assert_array_equal(loaded.images, images)
        assert loaded.labels is not None
        found = [loaded.classes[label] for label in loaded.labels]
        fine = [layout.classes[label] for label in labels]
        assert found == ([cifar.SUPERCLASS_OF[kind] for kind in fine] if name == "cifar100-20" else fine)
        assert "JPEG" not in loaded.description


def test_the_superclasses() -> None:
    assert len(cifar.CIFAR100_CLASSES) == 100
    assert list(cifar.SUPERCLASSES) == sorted(cifar.SUPERCLASSES)
    # the first labels of the original training file: coarse 11, fine 19; 15, 29; 4, 0; 14, 11; 1, 1
    for fine, coarse in {19: 11, 29: 15, 0: 4, 11: 14, 1: 1}.items():
        assert cifar.COARSE[fine] == coarse
    assert np.bincount(cifar.COARSE).tolist() == [5] * 20


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_tree(root: Path, suffix: str) -> None:
    write_cifar10(root, 2, suffix)
    loaded = datasets.load("cifar10", "test")
    assert loaded.images.shape == (20, 32, 32, 3)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [number for number in range(10) for _ in range(2)]
    assert loaded.description == ("CIFAR-10 (JPEG-coded copy)" if suffix == "jpg" else "CIFAR-10")


def test_a_tree_of_other_classes(root: Path) -> None:
    write_cifar10(root, 1)
    (root / "cifar10" / "train" / "frog").rename(root / "cifar10" / "train" / "toad")
    with pytest.raises(errors.DatasetError, match="10 class folders: CIFAR-10 has 10, airplane to truck"):
        datasets.load("cifar10")


def spoil_byte(path: Path, at: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)


DAMAGE = {
    "cut short": (lambda f: (f / "train.bin").write_bytes(b"1234"), r"train\.bin is cut short: it has 4 bytes, not"),
    "oversized": (lambda f: (f / "train.bin").open("ab").write(b"1"), r"train\.bin is too large"),
    "missing": (lambda f: (f / "train.bin").unlink(), r"train\.bin is not there"),
    "fine label": (lambda f: spoil_byte(f / "train.bin", 1, 100), r"label \d+ / 100 for image 0"),
    "coarse label": (lambda f: spoil_byte(f / "train.bin", 3074, 20), r"label 20 / \d+ for image 1"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_archives(root: Path, damage: str) -> None:
    spoil, message = DAMAGE[damage]
    spoil(write_binary(root, cifar.LAYOUT100))
    with pytest.raises(errors.DatasetError, match=message):
        datasets.load("cifar100")


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def test_a_hostile_pickle_runs_nothing(root: Path, tmp_path: Path) -> None:
    folder = write_python(root, cifar.LAYOUT100)
    attack = Attack(f"touch {tmp_path}/ran")
    (folder / "train").write_bytes(pickle.dumps({b"data": attack}))
    with pytest.raises(errors.DatasetError, match=r"asks for posix\.system, which is no array"):
        datasets.load("cifar100")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps([]),
        pickle.dumps({b"data": 1, b"coarse_labels": [], b"fine_labels": []}),
        pickle.dumps({b"data": np.zeros((3, 3072), np.uint8), b"coarse_labels": [0] * 3, b"fine_labels": [0] * 3}),
    ],
)
def test_damaged_pickles(root: Path, content: bytes) -> None:
    (write_python(root, cifar.LAYOUT100) / "train").write_bytes(content)
    with pytest.raises(errors.DatasetError, match=r"train (is no batch|does not hold 10 images)"):
        datasets.load("cifar100")
