"""A folder of images without splits of its own: some are held out, always the same ones."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrzoo import datasets, errors
from rrzoo.datasets import folder as folders


def fill(folder: Path, *names: str) -> None:
    """Write small pictures, each of a colour of its own."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), (number % 256, number // 256, 7)).save(folder / name)


def colours(dataset: datasets.Dataset) -> list[tuple[int, ...]]:
    return [tuple(image[0, 0].tolist()) for image in dataset.images]


def test_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    names = [f"{'ab'[number % 2]}/{number:02}.png" for number in range(40)]
    fill(tmp_path, *names)
    name = f"dir:{tmp_path}"
    train, test, every = (datasets.load(name, split, size=16) for split in ("train", "test", "all"))
    assert np.bincount(train.require_labels()).tolist() == [16, 16]
    assert np.bincount(test.require_labels()).tolist() == [4, 4]
    assert sorted(colours(train) + colours(test)) == sorted(colours(every))
    assert datasets.test_split(name) == "test"
    assert datasets.labelled_splits(name) == ("train", "test")  # no image twice
    assert colours(datasets.load(name, size=16)) == colours(every)
    digests = {path: hashlib.sha256(path.encode()).hexdigest() for path in names if path[0] == "a"}
    least = sorted(digests, key=lambda path: digests[path])[:4]  # the slow oracle
    held = folders.held_out(folders.find(tmp_path, "test"))
    assert sorted(np.array(sorted(names))[held])[:4] == sorted(least)


def test_what_is_held_out_depends_on_paths_alone(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(30)]
    for place in ("here", "there"):
        fill(tmp_path / place, *names)
    here, there = (datasets.load(f"dir:{tmp_path}/{place}", "test") for place in ("here", "there"))
    assert len(here) == 6
    assert colours(here) == colours(there)
    assert here.labels is None


def test_many_folders_of_one_picture_are_held_out_as_one(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}/a.png" for number in range(30)))
    assert len(datasets.load(f"dir:{tmp_path}", "test")) == 6


def test_a_folder_with_a_train_split_alone(tmp_path: Path) -> None:
    fill(tmp_path, *(f"train/{'xy'[number % 2]}/{number}.png" for number in range(20)))
    train, test = (datasets.load(f"dir:{tmp_path}", split) for split in ("train", "test"))
    assert (len(train), len(test), train.classes) == (16, 4, ("x", "y"))


def test_so_many_at_most(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}.png" for number in range(30)))
    few = datasets.load(f"dir:{tmp_path}", "all", most=10)
    every = datasets.load(f"dir:{tmp_path}", "all")
    assert len(few) == 10
    assert set(colours(few)) < set(colours(every))
    with pytest.raises(errors.DatasetError, match="both are for folders"):
        datasets.load("clay10", "test", most=10)


def test_one_picture_can_not_be_split(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    assert len(datasets.load(f"dir:{tmp_path}")) == 1
    with pytest.raises(errors.DatasetError, match="at least two are"):
        datasets.load(f"dir:{tmp_path}", "test")


def test_a_broken_picture_changes_nothing_of_the_others(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}.png" for number in range(30)))
    before = colours(datasets.load(f"dir:{tmp_path}", "test"))
    held = folders.find(tmp_path, "test")
    (held.paths[int(np.flatnonzero(~folders.held_out(held))[0])]).write_bytes(b"nothing")
    after = datasets.load(f"dir:{tmp_path}", "test", skip_broken=True)
    assert colours(after) == before
    assert len(after.skipped) == 1
