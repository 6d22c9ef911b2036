"""Data sets by name, and STL-10 from its binaries: sparse files of the full size, with pictures in a few places."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import REAL_CACHE, REAL_DATA, need, smooth_image
from rrzoo import datasets, errors
from rrzoo.datasets import stl10
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.datasets.dataset import Record, md5, measure
from rrzoo.datasets.mapped import MappedImages

BYTES = 96 * 96 * 3
WRITTEN = (0, 1, 77, 4_999)  # images of each split that are not black


def stored(image: np.ndarray) -> bytes:
    """Return (H, W, 3) as STL-10 stores it: channel, column, row. The slow way, as the format's page says it."""
    return bytes(image[row, column, channel] for channel in range(3) for column in range(96) for row in range(96))


def write_stl10(folder: Path, random: np.random.Generator, written: tuple[int, ...] = WRITTEN) -> dict[int, np.ndarray]:
    """Write an STL-10 of the size that the catalogue says, sparse; return the pictures in it."""
    folder.mkdir(parents=True)
    pictures = {row: smooth_image(random, 96, 96) for row in written}
    splits = CATALOGUE["stl10"].splits
    for split, count in splits.items():
        with (folder / f"{split}_X.bin").open("wb") as file:
            for row, picture in pictures.items():
                file.seek(row * BYTES)
                file.write(stored(picture))
            file.truncate(count * BYTES)
        if split != "unlabeled":
            (folder / f"{split}_y.bin").write_bytes(bytes(1 + row % 10 for row in range(count)))
    (folder / "class_names.txt").write_text("".join(f"{name}\n" for name in stl10.CLASSES))
    folds = [random.permutation(splits["train"])[: stl10.FOLD_IMAGES] for _ in range(10)]
    (folder / "fold_indices.txt").write_text("".join(" ".join(map(str, fold)) + " \n" for fold in folds))
    return pictures


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def small_stl10(root: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an STL-10 of 60, 40 and 80 images, with folds of 30."""
    for name in ("stl10", "stl10-standin"):
        counts = {"train": 60, "test": 40, "unlabeled": 80}
        monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], splits=counts))
    monkeypatch.setattr(stl10, "STANDIN", CATALOGUE["stl10-standin"])
    monkeypatch.setattr(stl10, "FOLD_IMAGES", 30)
    write_stl10(root / "stl10_binary", random, written=(0, 1, 39))
    return root / "stl10_binary"


@pytest.mark.parametrize("record", CATALOGUE.values(), ids=list(CATALOGUE))
def test_a_record_says_all_that_is_needed(record: Record) -> None:
    assert record.test_split in record.splits
    assert set(record.unlabelled) < set(record.splits)
    assert record.test_split not in record.unlabelled
    assert (record.archive is None) == bool(record.by_hand)  # one way to get it
    assert record.licence
    assert record.source


def test_names_and_splits_are_listed() -> None:
    article = {"stl10", "cifar10", "cifar100", "cifar100-20", "tinyimagenet", "slimagenet64"}
    assert article <= set(datasets.names())
    assert datasets.splits("stl10") == ("train", "test", "unlabeled")
    assert datasets.labelled_splits("stl10") == ("train", "test")
    assert datasets.test_split("tinyimagenet") == "val"


@pytest.mark.parametrize("name", datasets.names())
def test_an_absent_data_set_says_how_to_get_it(name: str) -> None:
    if name == "clay10":
        return
    message = {"stl10-standin": "generator writes it", "slimagenet64": r"zenodo\.org"}
    with pytest.raises(errors.DatasetError, match=message.get(name, rf"\(.*[MG]B\) with: .* data {name} --download")):
        datasets.load(name)


def test_unknown_names_and_splits() -> None:
    with pytest.raises(errors.DatasetError, match="did you mean stl10"):
        datasets.load("slt10")
    with pytest.raises(errors.DatasetError, match="no split 'unlabelled': did you mean unlabeled"):
        datasets.load("stl10", "unlabelled")
    with pytest.raises(errors.DatasetError, match="have one size"):
        datasets.load("clay10", size=32)


def test_measure_is_mean_and_deviation(random: np.random.Generator) -> None:
    images = random.integers(0, 256, (300, 5, 7, 3), dtype=np.uint8)
    mean, std = measure(images)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, atol=1e-4)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, atol=1e-4)


def test_stl10(root: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = write_stl10(root / "stl10_binary", random)
    sums = {path.name: md5(path) for path in (root / "stl10_binary").glob("t*.bin")}
    monkeypatch.setitem(CATALOGUE, "stl10", replace(stl10.STL10, md5=sums))
    for split, count in stl10.STL10.splits.items():
        loaded = datasets.load("stl10", split)
        assert (loaded.name, loaded.split, loaded.description) == ("stl10", split, "STL-10")
        assert loaded.images.shape == (count, 96, 96, 3)
        assert len(loaded) == count
        for row, picture in pictures.items():
            np.testing.assert_array_equal(loaded.images[row], picture)
        if split == "unlabeled":
            assert loaded.labels is None
            with pytest.raises(errors.DatasetError, match="has no labels"):
                _ = loaded.require_labels()
        else:
            assert loaded.labels is not None
            assert loaded.labels.dtype == np.int64
            assert loaded.labels[:11].tolist() == [*range(10), 0]
        assert (loaded.folds is not None) == (split == "train")
    assert loaded.classes == ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    black = np.zeros((5_000, 96 * 96, 3), np.uint8)
    for row, picture in pictures.items():
        black[row] = picture.reshape(-1, 3)
    np.testing.assert_allclose(loaded.mean, black.mean((0, 1)) / 255, atol=1e-4)


def test_rows_are_taken_as_from_an_array(tmp_path: Path, random: np.random.Generator) -> None:
    images = random.integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
    (tmp_path / "rows").write_bytes(images.tobytes())
    (tmp_path / "columns").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
    for mapped in (
        MappedImages(tmp_path / "rows", images.shape),
        MappedImages(tmp_path / "columns", images.shape, column_major=True),
    ):
        for rows in (3, -1, slice(2, 7), slice(None, None, -2), np.array([8, 0, 0]), [1, 2], np.arange(9) % 2 == 0):
            taken = mapped[rows]
            np.testing.assert_array_equal(taken, images[rows])
            assert taken.flags.c_contiguous
            assert taken.flags.owndata
        np.testing.assert_array_equal(np.stack(list(mapped)), images)
        with pytest.raises(IndexError):
            mapped[9]


def resident() -> float:
    """Return how much of files is mapped into this process's memory now, MB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile")]
    return int(line.split()[1]) / 1000


def test_pages_are_given_back(tmp_path: Path) -> None:
    path = tmp_path / "images"
    with path.open("wb") as file:
        file.truncate(100_000 * BYTES)
    images = MappedImages(path, (100_000, 96, 96, 3), column_major=True)
    before = highest = resident()
    for batch in np.random.default_rng(0).permutation(100_000)[:12_000].reshape(-1, 200):
        images[batch]
        highest = max(highest, resident())
    assert highest - before < 100  # MB; 330 MB were read


def spoil_size(folder: Path, name: str, change: int) -> None:
    path = folder / name
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + change)


def spoil_label(folder: Path, value: int) -> None:
    labels = bytearray((folder / "train_y.bin").read_bytes())
    labels[17] = value
    (folder / "train_y.bin").write_bytes(labels)


DAMAGE = {
    "cut short": (lambda f: spoil_size(f, "train_X.bin", -1), r"train_X\.bin is cut short: .*1,658,879 bytes, not"),
    "oversized": (lambda f: spoil_size(f, "train_X.bin", 1), r"train_X\.bin is too large"),
    "empty": (lambda f: (f / "train_X.bin").write_bytes(b""), r"train_X\.bin is cut short"),
    "labels cut": (lambda f: spoil_size(f, "train_y.bin", -1), r"train_y\.bin is cut short"),
    "label 0": (lambda f: spoil_label(f, 0), "label 0 for image 17: labels are 1 to 10"),
    "label 11": (lambda f: spoil_label(f, 11), "label 11 for image 17"),
    "no split": (lambda f: (f / "train_X.bin").unlink(), r"train_X\.bin is not there"),
    "no labels": (lambda f: (f / "train_y.bin").unlink(), r"train_y\.bin is not there"),
    "other classes": (lambda f: (f / "class_names.txt").write_text("cat\ndog\n"), "does not hold STL-10's classes"),
    "folds cut": (lambda f: (f / "fold_indices.txt").write_text("1 2 3\n4 5"), "does not hold 10 lines"),
    "fold beyond": (
        lambda f: (f / "fold_indices.txt").write_text(("60 " * 30 + "\n") * 10),
        "30 numbers from 0 to 59",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(small_stl10: Path, damage: str) -> None:
    spoil, message = DAMAGE[damage]
    spoil(small_stl10)
    with pytest.raises(errors.DatasetError, match=message):
        datasets.load("stl10")


@pytest.mark.parametrize("by_folder", [False, True])
def test_a_standin_says_so(small_stl10: Path, root: Path, by_folder: bool) -> None:
    (root / "stl10-standin").mkdir()
    small_stl10.rename(root / "stl10-standin" / "stl10_binary")
    loaded = datasets.load("stl10", root=root / "stl10-standin") if by_folder else datasets.load("stl10-standin")
    assert loaded.name == "stl10-standin"
    assert loaded.description.endswith("not STL-10")


def test_other_pictures_in_stl10s_place_say_so(small_stl10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert datasets.load("stl10", "test").description == "STL-10 (an altered copy)"
    assert datasets.load("stl10", "test").mean != stl10.MEAN
    sums = {name: md5(small_stl10 / name) for name in ("train_X.bin", "test_X.bin", "test_y.bin")}
    record = replace(CATALOGUE["stl10"], md5={**sums, "train_y.bin": "another"})
    monkeypatch.setitem(CATALOGUE, "stl10", record)
    assert datasets.load("stl10", "test").mean != stl10.MEAN
    monkeypatch.setattr(stl10, "TRAIN_MD5", sums["train_X.bin"])
    assert datasets.load("stl10", "test").description == "STL-10"
    assert datasets.load("stl10", "test").mean == stl10.MEAN  # of what is distributed it is known
    assert datasets.load("stl10", "train").description == "STL-10 (an altered copy)"


def test_stl10s_labelled_half(small_stl10: Path, root: Path, random: np.random.Generator) -> None:
    """Train and test may be at hand without the third split, which is eight times as large."""
    whole = root / "whole"
    whole.mkdir()
    (root / "stl10").mkdir()
    (small_stl10 / "unlabeled_X.bin").rename(whole / "unlabeled_X.bin")
    assert len(datasets.load("stl10", "train")) == 60
    assert len(datasets.load("stl10", "test")) == 40
    message = (
        r"has no unlabeled_X\.bin: .*all of stl10, fetch it \(2\.6 GB\) with: python -m rrzoo data stl10 --download"
    )
    with pytest.raises(errors.DatasetError, match=message):
        datasets.load("stl10", "unlabeled")
    small_stl10.rename(root / "stl10" / "stl10_binary")
    write_stl10(root / "stl10_binary", random, written=(0, 1, 39))  # the whole is fetched to another place
    assert len(datasets.load("stl10", "unlabeled")) == 80


def test_the_real_stl10() -> None:
    need((REAL_DATA / "stl10").is_dir(), f"STL-10's labelled images in {REAL_DATA}/stl10")
    for split, per_class in {"train": 500, "test": 800}.items():
        loaded = datasets.load("stl10", split, REAL_DATA)
        assert loaded.description == "STL-10"
        assert np.bincount(loaded.require_labels()).tolist() == [per_class] * 10
    assert datasets.load("stl10", "train", REAL_DATA).folds is not None


def test_the_real_standin_at_full_size() -> None:
    need((REAL_DATA / "stl10-standin").is_dir(), f"the stand-in for STL-10 in {REAL_DATA}/stl10-standin")
    loaded = datasets.load("stl10-standin", "unlabeled", REAL_DATA)
    assert len(loaded) == 100_000
    rows = np.random.default_rng(0).permutation(100_000)[:500]
    assert 20 < loaded.images[rows].std() < 120  # photographs, not noise or a constant


def test_the_real_tiny_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = REAL_DATA / "tiny-imagenet-200"
    need(folder.is_dir(), f"Tiny-ImageNet's images in {folder}")
    monkeypatch.setenv("RRZOO_CACHE", str(REAL_CACHE))
    val = datasets.load("tinyimagenet", "val", REAL_DATA)
    assert np.bincount(val.require_labels()).tolist() == [50] * 200
    distributed = next((folder / "train").glob("*/*_boxes.txt"), None) is not None
    assert val.description == ("Tiny-ImageNet" if distributed else "Tiny-ImageNet (re-coded copy)")
    train = datasets.load("tinyimagenet", "train", REAL_DATA)
    assert len(train) == len(train.require_labels()) == datasets.CATALOGUE["tinyimagenet"].splits["train"] < 100_000
    assert f"{100_000 - len(train)} near-duplicates of STL-10's test images left out" in train.description
    assert {"goldfish", "Egyptian cat", "espresso"} <= set(val.classes)
    mean, std = measure(val.images)  # of the validation images: near those of the training images
    np.testing.assert_allclose([*mean, *std], [*val.mean, *val.std], atol=0.005)
