"""The command that trains: two data sets of a recipe, one to pre-train on and one whose labels the probe sees."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import datasets, errors, recipes
from rrzoo.commands import train
from rrzoo.config import Recipe
from rrzoo.datasets import imagenet, stl10
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.store import verify

NAME = "conv4-stl10"
COUNTS = {"train": 60, "test": 40, "unlabeled": 50}
NOTE = (
    "conv4-stl10: the unlabeled split of stl10 is not at hand, so the backbone learns from tinyimagenet in its place\n"
)


@pytest.fixture
def data(tmp_path: Path, random: np.random.Generator, few_figures: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The labelled half of a small STL-10, ten classes of one colour each, and a Tiny-ImageNet of 2 x 20 pictures."""
    monkeypatch.setitem(CATALOGUE, "stl10", replace(CATALOGUE["stl10"], splits=COUNTS))
    for name, value in {"FOLDS": 2, "FOLD_IMAGES": 30}.items():
        monkeypatch.setattr(stl10, name, value)
    root = tmp_path / "data"
    write_stl10(root, ["train", "test"], random)
    folds = [random.permutation(60)[:30] for _ in range(2)]
    lines = "".join(" ".join(map(str, fold)) + "\n" for fold in folds)
    (root / "stl10" / stl10.FOLDER / "fold_indices.txt").write_text(lines)
    folder = root / imagenet.TINY_FOLDER
    for wnid in ("n01", "n02"):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        for number in range(20):
            picture = Image.fromarray(smooth_image(random, 64, 64))
            picture.save(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", "PNG")
    (folder / "val" / "images").mkdir(parents=True)  # what the recogniser is tried on, too
    for number in range(2):
        Image.fromarray(smooth_image(random, 64, 64)).save(folder / "val" / "images" / f"{number}.JPEG", "PNG")
    (folder / "val" / "val_annotations.txt").write_text("0.JPEG\tn01\n1.JPEG\tn02\n")
    (folder / "words.txt").write_text("n01\tone\nn02\ttwo\n")
    return root


def write_stl10(root: Path, splits: list[str], random: np.random.Generator) -> None:
    folder = root / "stl10" / stl10.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        labels = np.arange(COUNTS[split]) % 10
        colours = np.random.default_rng(1).integers(60, 196, (10, 1, 1, 3))[labels]
        images = (colours + random.integers(-60, 60, (len(labels), 96, 96, 3))).astype(np.uint8)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe of conv4-stl10, which trains in a second here, and asks for all that features may be."""
    options = {"source_size": 48, "pooling": 2, "mirror": True, "zooms": (1.0, 0.8), "embedding_size": 16}
    recipe = replace(recipes.RECIPES[NAME], image_size=32, views=2, batch_size=20, epochs=1, **options)
    monkeypatch.setattr(recipes, "RECIPES", recipes.RECIPES | {NAME: recipe})
    return recipe


@pytest.mark.slow
def test_what_stands_in_for_a_split_that_is_not_at_hand_is_said_everywhere(
    tmp_path: Path, data: Path, small: Recipe, run_command: Callable[..., Outcome]
) -> None:
    planned = run_command("train", NAME, "--data", data, "--dry-run")
    assert planned.status == 0, planned.err
    assert NOTE in planned.out
    done = run_command("train", NAME, "--data", data, "--zoo", tmp_path / "zoo")
    assert done.status == 0, done.err
    assert done.out.startswith(NOTE)
    assert "40 images of Tiny-ImageNet (re-coded copy)" in done.out
    assert "a probe on the labels of 60 images of STL-10 (an altered copy)" in done.out
    assert "accuracy on STL-10 (an altered copy), test split" in done.out

    folder = tmp_path / "zoo" / NAME
    model = rrzoo.load(f"dir:{folder}")
    training, architecture = model.config.training, model.config.architecture
    assert training is not None
    assert training.recipe == replace(small, dataset="tinyimagenet", split="train", substitute=None)
    assert (training.data, training.labelled) == (
        "Tiny-ImageNet (re-coded copy)",
        "STL-10 (an altered copy), train split",
    )
    assert training.licence == CATALOGUE["tinyimagenet"].licence
    assert training.labelled_licence == CATALOGUE["stl10"].licence
    assert training.origin == "trained without labels on Tiny-ImageNet (re-coded copy)"
    assert (architecture.mean, architecture.std) == (imagenet.COPY_MEAN, imagenet.COPY_STD)
    assert architecture.classes == stl10.CLASSES
    assert architecture.changed == small.changed
    card = (folder / "README.md").read_text()
    assert "The backbone learnt from tinyimagenet in place of stl10's unlabeled split" in card
    assert "| images | 40 of Tiny-ImageNet (re-coded copy), train split, without labels |" in card
    assert "| labels of the probe | STL-10 (an altered copy), train split |" in card
    assert "no figure here" not in card
    assert "| embedding | whitened to 16 numbers" in card


@pytest.mark.slow
def test_a_model_of_two_data_sets_is_measured_on_the_labelled_one(
    tmp_path: Path, data: Path, small: Recipe, run_command: Callable[..., Outcome], figures: list[Path]
) -> None:
    """And all else works with features of another size than the backbone's."""
    done = run_command("train", NAME, "--data", data, "--zoo", tmp_path / "zoo")
    assert done.status == 0, done.err
    folder = tmp_path / "zoo" / NAME
    model = rrzoo.load(NAME)
    own = model.evaluation
    assert own is not None
    assert (own.dataset, own.train_images, own.test_images, own.shipped_probe) == ("stl10", 60, 40, True)
    test = datasets.load("stl10", "test", data)
    right = model.classify(test.images).argmax(1) == test.labels
    assert own.linear_probe == pytest.approx(right.mean())
    assert verify.outputs(folder).difference <= 1e-5
    assert verify.accuracy(folder, data)[0] == pytest.approx(right.mean())
    measured = run_command("evaluate", NAME, "--data", data)
    assert measured.status == 0, measured.err
    assert "STL-10 (an altered copy), test split, whose labels its probe has seen; pre-trained on Tiny" in measured.out
    again = rrzoo.load(NAME).evaluation
    assert again is not None
    assert (again.shipped_probe, again.linear_probe) == (True, pytest.approx(right.mean()))

    assert model.embed(figures).shape == (3, 16)
    gallery = model.gallery()  # of the labelled images, none of which it holds
    assert (len(gallery), gallery.no_pictures) == (100, "")
    queries = test.images[:3]
    for rerank in (False, True):
        for number, found in enumerate(gallery.search(queries, k=100, rerank=rerank)):
            itself = next(hit for hit in found if hit.source == f"stl10/test/{number}")
            assert itself.score == pytest.approx(1, abs=1e-4)
            assert itself.label == gallery.classes[test.require_labels()[number]]
            np.testing.assert_array_equal(np.asarray(itself.thumbnail), queries[number])
            score = float(model.relate(queries[number], queries[number])[0])
            assert itself.relation == pytest.approx(score, abs=2e-3)
            order = [hit.relation if rerank else hit.score for hit in found]
            assert order == sorted(order, reverse=True)


def test_nothing_stands_in_for_what_is_there_or_damaged(data: Path, random: np.random.Generator) -> None:
    recipe = recipes.RECIPES[NAME]
    assert train.at_hand(recipe, data).dataset == "tinyimagenet"
    write_stl10(data, ["unlabeled"], random)
    assert train.at_hand(recipe, data) == recipe
    path = data / "stl10" / stl10.FOLDER / "unlabeled_X.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(errors.DatasetError, match="cut short"):
        train.at_hand(recipe, data)


def test_without_any_data_the_labelled_set_is_asked_for_first(
    tmp_path: Path, run_command: Callable[..., Outcome]
) -> None:
    done = run_command("train", NAME, "--data", tmp_path)
    assert done.status == 2
    assert "stl10 is not at" in done.err
    assert len(done.err.splitlines()) == 1


def test_another_data_set_is_pre_trained_on_and_measured_alike(
    tmp_path: Path,
    few_figures: None,
    small: Recipe,
    run_command: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(recipes.RECIPES, NAME, replace(small, split="train"))
    done = run_command("train", NAME, "--dataset", "clay10", "--zoo", tmp_path / "zoo")
    assert done.status == 0, done.err
    assert "in its place" not in done.out
    config = rrzoo.load(f"dir:{tmp_path / 'zoo' / NAME}").config
    assert config.training is not None
    assert (config.training.labelled_dataset, config.training.labelled) == ("clay10", "")
