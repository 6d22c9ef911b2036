"""What the figures on duplicates rest on: alterations, the regression, and precision and recall of groups."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import duplicates
import rrzoo
from alterations import ALTERATIONS, NOT_FITTED, flat
from conftest import smooth_image


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_an_alteration_changes_a_picture_the_same_way_for_one_seed(kind: str, random: np.random.Generator) -> None:
    picture = Image.fromarray(smooth_image(random, 96, 96))
    once, again, other = (ALTERATIONS[kind](picture, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert once.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(once), np.asarray(again))
    assert once.size != picture.size or (np.asarray(once) != np.asarray(picture)).any()
    assert kind in ("mirror",) or once.size != other.size or (np.asarray(once) != np.asarray(other)).any()


def test_some_kinds_are_held_out_and_flat_pictures_show_little() -> None:
    assert set(NOT_FITTED) < set(ALTERATIONS)
    for seed in range(20):
        assert np.asarray(flat(np.random.default_rng(seed), 96)).shape == (96, 96, 3)


def test_regression_finds_the_weights_that_drew_the_answers(random: np.random.Generator) -> None:
    x = random.normal(size=(20_000, 2)) * (1, 5)
    positive = random.random(20_000) < 1 / (1 + np.exp(-(2 * x[:, 0] - 0.5 * x[:, 1] + 1)))
    assert duplicates.regression([x[:, 0], x[:, 1]], positive) == pytest.approx((2, -0.5, 1), abs=0.1)


def test_precision_and_recall_are_those_of_pairs_within_groups() -> None:
    collection = duplicates.Collection(None, np.array(list("aaabbc")), np.full(6, "original"))
    groups = np.array([0, 0, 2, 2, 4, 4])  # aa, ab, bc: one of three pairs is right, of four that there are
    assert collection.score(groups) == pytest.approx((1 / 3, 1 / 4))
    left, right = np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4])
    found = duplicates.curve(collection, left, right, np.array([0.9, 0.8, 0.2, 0.1]), [0.5, 0.85, 0.1])
    np.testing.assert_allclose(found, [(0.5, 1.0, 0.75), (0.85, 1.0, 0.25), (0.1, 0.4, 1.0)])


def test_a_precision_that_holds_for_other_collections_is_lower(random: np.random.Generator) -> None:
    """One wrong group of eleven among sixty right ones is luck that other collections may have twice."""
    sizes = [3] * 60 + [11]
    labels = np.repeat(np.arange(61), sizes)
    collection = duplicates.Collection(None, labels.astype(str), np.full(len(labels), "original"))
    assert collection.cautious_precision(labels) == 1
    collection.picture[-11:] = [str(number) for number in range(100, 111)]
    found, told = np.array([3] * 60 + [0]), np.array([3] * 60 + [55])
    drawn = random.integers(0, 61, (4000, 61))
    expected = np.quantile(found[drawn].sum(1) / told[drawn].sum(1), 0.1)
    assert collection.cautious_precision(labels) == pytest.approx(expected, abs=0.03)
    assert expected < collection.score(labels)[0] - 0.05


def test_a_gallery_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], random: np.random.Generator
) -> None:
    monkeypatch.setattr(duplicates, "MODELS", ("conv4-cifar10",))
    picture = smooth_image(random, 96, 96)
    model = rrzoo.load("conv4-cifar10")
    rrzoo.Gallery.from_images(model, [picture, picture, smooth_image(random, 96, 96)]).save(tmp_path / "gallery")
    duplicates.main(["time", "--gallery", str(tmp_path / "gallery")])
    assert re.match(r"3 pictures compared in [.\d]+ s, median of 3 runs .*: 1 groups; ", capsys.readouterr().out)
    with pytest.raises(SystemExit):
        duplicates.main(["time"])
