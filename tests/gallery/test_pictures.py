"""A gallery over a data set of photographs, none of which it holds: where they are at hand, and where they are not."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import datasets, errors
from rrzoo.datasets import stl10 as stl10_module
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.datasets.stl10 import CLASSES
from rrzoo.gallery import storage

SPLITS = {"train": 30, "test": 20}
HOW = (
    r"STL-10.* is not on this machine, so its pictures are not shown: fetch it \(2\.6 GB\) with: python -m rrzoo data "
    r"stl10 --download, or name the folder that holds it in \$RRZOO_DATA$"
)


def write(split: str, random: np.random.Generator) -> None:
    """Write a split of a small STL-10 as its authors do: channel by channel, column-major."""
    folder = Path(os.environ["RRZOO_DATA"]) / "stl10" / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    images = np.stack([smooth_image(random, 96, 96) for _ in range(SPLITS[split])])
    (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
    (folder / f"{split}_y.bin").write_bytes(random.integers(1, 11, SPLITS[split]).astype(np.uint8).tobytes())


@pytest.fixture
def stl10(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> list[datasets.Dataset]:
    """A small STL-10, at hand."""
    monkeypatch.setitem(CATALOGUE, "stl10", replace(CATALOGUE["stl10"], splits=SPLITS | {"unlabeled": 5}))
    for split in SPLITS:
        write(split, random)
    return [datasets.load("stl10", split) for split in SPLITS]


@pytest.fixture
def saved(model: rrzoo.Model, stl10: list[datasets.Dataset], tmp_path: Path) -> Path:
    """A gallery over both labelled splits."""
    rrzoo.Gallery.build(model, stl10).save(tmp_path / "saved")
    return tmp_path / "saved"


def lose_stl10() -> None:
    shutil.rmtree(os.environ["RRZOO_DATA"])


def test_pictures_that_are_at_hand(model: rrzoo.Model, stl10: list[datasets.Dataset], saved: Path) -> None:
    assert not list(saved.glob("thumbnails*"))
    gallery = rrzoo.Gallery.load(model, saved)
    assert (len(gallery), gallery.no_pictures, gallery.classes) == (50, "", CLASSES)
    assert gallery.sources == rrzoo.Gallery.build(model, stl10).sources
    for row, (split, number) in {0: (0, 0), 29: (0, 29), 30: (1, 0), 49: (1, 19)}.items():
        image = stl10[split].images[number]
        ((hit,),) = gallery.search(image, 1)
        assert (hit.row, hit.source) == (row, f"stl10/{stl10[split].split}/{number}")
        assert hit.label == CLASSES[stl10[split].require_labels()[number]]
        assert hit.score == pytest.approx(1, abs=1e-4)
        np.testing.assert_array_equal(np.asarray(hit.thumbnail), image)
        np.testing.assert_array_equal(np.asarray(gallery.thumbnail(row)), image)


def test_pictures_that_are_not_at_hand(model: rrzoo.Model, stl10: list[datasets.Dataset], saved: Path) -> None:
    query = stl10[1].images[4]
    (expected,) = rrzoo.Gallery.load(model, saved).search(query, 5, rerank=True)
    lose_stl10()
    gallery = rrzoo.Gallery.load(model, saved)
    (hits,) = gallery.search(query, 5, rerank=True)
    assert [replace(hit, thumbnail=None) for hit in expected] == hits
    with pytest.raises(errors.GalleryError, match=HOW):
        gallery.thumbnail(3)
    with pytest.raises(errors.ArgumentError, match="row 50 was asked for"):
        gallery.thumbnail(50)
    gallery.save(saved)
    assert rrzoo.Gallery.load(model, saved).sources == gallery.sources


def test_the_command_says_how_to_get_the_pictures(
    model: rrzoo.Model, saved: Path, run_command: Callable[..., Outcome], figures: list[Path]
) -> None:
    search = ("search", figures[0], "--model", model.name, "--gallery", saved, "-k", "2", "--json")
    at_hand = run_command(*search)
    lose_stl10()
    assert run_command(*search) == (0, at_hand.out, f"{rrzoo.Gallery.load(model, saved).no_pictures}\n")
    assert at_hand.err == ""
    assert "stl10/t" in at_hand.out


def other_labels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.fromfile(folder / "test_y.bin", np.uint8)
    labels[7] = labels[7] % 10 + 1
    labels.tofile(folder / "test_y.bin")


def fewer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = CATALOGUE["stl10"].splits | {"test": 19}  # type: ignore[operator]
    monkeypatch.setitem(CATALOGUE, "stl10", replace(CATALOGUE["stl10"], splits=splits))
    for name, size in (("X", 96 * 96 * 3), ("y", 1)):
        os.truncate(folder / f"test_{name}.bin", 19 * size)


def standin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stl10_module, "STANDIN", replace(stl10_module.STANDIN, splits=CATALOGUE["stl10"].splits))
    folder.parent.rename(folder.parent.with_name("stl10-standin"))
    monkeypatch.setenv("RRZOO_DATA", str(folder.parent.with_name("stl10-standin")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_labels, r"stl10/test .* \(their labels differ\)"),
        (fewer, r"stl10/test .* \(19 images, not 20\)"),
        (standin, r"stl10/train .* \(they are stl10-standin\)"),
    ],
)
def test_another_data_set_at_hand_is_named(
    model: rrzoo.Model,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, pytest.MonkeyPatch], None],
    message: str,
) -> None:
    change(Path(os.environ["RRZOO_DATA"]) / "stl10" / "stl10_binary", monkeypatch)
    with pytest.raises(errors.GalleryError, match=rf"the images of {message}: name the folder that holds the right"):
        rrzoo.Gallery.load(model, saved)


def test_a_data_set_that_is_broken_is_no_absent_one(model: rrzoo.Model, saved: Path) -> None:
    os.truncate(Path(os.environ["RRZOO_DATA"]) / "stl10" / "stl10_binary" / "test_X.bin", 99)
    with pytest.raises(errors.DatasetError, match="is cut short"):
        rrzoo.Gallery.load(model, saved)


def test_no_photograph_is_kept(saved: Path) -> None:
    kept = storage.check(saved)
    manifest, rows = kept.manifest, kept.rows
    assert [(one.dataset, one.split, one.rows) for one in manifest.splits] == [
        ("stl10", "train", 30),
        ("stl10", "test", 20),
    ]
    assert rows.thumbnails is None
    assert sum(path.stat().st_size for path in saved.iterdir()) < 50 * (2 * (128 + 64) + 12) + 2_000
