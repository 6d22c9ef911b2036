"""The search for one photograph in two data sets, on pictures made by chance and altered."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

import near_duplicates
from conftest import Outcome
from rrzoo import datasets
from rrzoo.datasets import imagenet


def photograph(random: np.random.Generator) -> Image.Image:
    """Return 192 x 192 px with shapes of every size, as photographs have."""
    layers = [random.normal(size=(cells, cells, 3)) * weight for cells, weight in ((4, 50), (12, 30), (30, 15))]
    drawn = [
        np.stack(
            [np.asarray(Image.fromarray(layer[..., c].astype(np.float32)).resize((192, 192), 3)) for c in range(3)], 2
        )
        for layer in layers
    ]
    return Image.fromarray((128 + sum(drawn)).clip(0, 255).astype(np.uint8))


def recoded(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=50)
    return Image.open(file)


def letterboxed(picture: Image.Image) -> Image.Image:
    """Keep the middle three quarters of the height, above and below it black."""
    framed = Image.new("RGB", picture.size)
    framed.paste(picture.crop((0, 24, 192, 168)), (0, 24))
    return framed


ALTERED: dict[str, tuple[Callable[[Image.Image], Image.Image], Callable[[Image.Image], Image.Image]]] = {
    "re-coded": (lambda p: p, lambda p: recoded(p.resize((64, 64), 3))),
    "cropped": (lambda p: p, lambda p: p.crop((20, 4, 180, 164))),
    "cropped more, at a corner": (lambda p: p, lambda p: p.crop((0, 0, 140, 140))),
    "the other one cropped": (lambda p: p.crop((10, 20, 160, 170)), lambda p: p),
    "mirrored": (lambda p: p, ImageOps.mirror),
    "mirrored and cropped": (lambda p: p, lambda p: ImageOps.mirror(p.crop((0, 25, 165, 190)))),
    "brighter": (lambda p: p, lambda p: ImageEnhance.Brightness(p).enhance(1.2)),
    "letterboxed": (letterboxed, lambda p: p.crop((20, 20, 170, 170))),
    "letterboxed and mirrored": (letterboxed, lambda p: ImageOps.mirror(p.crop((40, 20, 190, 170)))),
}


@pytest.fixture
def splits(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Photographs of 96 px, and those of 64 px, of which the first are altered copies: of number 10, 11, 12, ..."""
    left, right = ([photograph(random) for _ in range(30)] for _ in range(2))
    for number, (alter_left, alter_right) in enumerate(ALTERED.values()):
        right[number] = alter_right(left[10 + number])
        left[10 + number] = alter_left(left[10 + number])
    sides = ((left, 96), (right, 64))
    one, other = (np.stack([np.asarray(p.resize((side, side), 3)) for p in pictures]) for pictures, side in sides)
    return one, other


def test_altered_copies_are_found_and_nothing_else(
    splits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", 7)  # several, and a rest
    pairs = near_duplicates.find(*splits, {0.85: 3, 0.7: 3})
    pairs = pairs[pairs.score >= near_duplicates.SAME]
    expected = {name: (10 + number, number) for number, name in enumerate(ALTERED)}
    found = dict(zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.mirrored.tolist(), strict=True))
    assert {name: pair in found for name, pair in expected.items()} == dict.fromkeys(ALTERED, True)
    assert sorted(found) == sorted(expected.values())
    assert {name: found[pair] for name, pair in expected.items()} == {name: "mirrored" in name for name in ALTERED}
    assert pairs.scale[1].item() == pytest.approx(192 / 160, abs=0.02)  # cropped from 20 to 180 across, 4 to 164 down
    assert pairs.shift[1].tolist() == pytest.approx([-4 / 80, 12 / 80], abs=0.02)


def test_the_script_names_files(
    splits: tuple[np.ndarray, np.ndarray],
    run_script: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Classes in which the quick search finds any are searched again; files that are left out are found, too."""
    left, right = splits
    folder = tmp_path / "data" / "tiny-imagenet-200"
    for number, image in enumerate(right):
        path = folder / "train" / f"n{number % 2}" / "images" / f"n{number % 2}_{number:02}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=90)
    (folder / "val").mkdir()
    (folder / "words.txt").write_text("n0\tnought\nn1\tone\n")
    monkeypatch.setattr(imagenet, "LEFT_OUT", frozenset({"n0_00.JPEG"}))
    tiny = datasets.load("tinyimagenet")
    stl10 = replace(tiny, name="stl10", images=left, labels=np.arange(30) % 3, description="photographs")
    load = datasets.load
    monkeypatch.setattr(datasets, "load", lambda name, split: stl10 if name == "stl10" else load(name, split))
    monkeypatch.setattr(near_duplicates, "QUICK", {})
    monkeypatch.setattr(near_duplicates, "THOROUGH", {0.85: 3, 0.7: 3})
    done = run_script("near_duplicates", "test", "pairs.tsv")
    assert done.status == 0, done.err
    rows = [line.split("\t") for line in (tmp_path / "pairs.tsv").read_text().splitlines()]
    sure = {
        (name, int(of)): int(mirrored) for name, of, score, mirrored in rows if float(score) >= near_duplicates.SAME
    }
    assert sure == {(f"n{n % 2}_{n:02}.JPEG", 10 + n): int("mirrored" in name) for n, name in enumerate(ALTERED)}
    assert f"{len(ALTERED)} images of Tiny-ImageNet show {len(ALTERED)} photographs of photographs, test" in done.out
