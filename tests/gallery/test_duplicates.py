"""Duplicates: against slow versions, on photographs and their copies, and on what must not match."""

import math
from collections.abc import Iterator
from pathlib import Path

import gradio
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import rrzoo
from conftest import smooth_image
from rrzoo import datasets, errors
from rrzoo.gallery.duplicates import alignment, evidence, gradients, grouping, neighbours, screening
from rrzoo.gallery.duplicates.best import Quality, best_first
from rrzoo.gallery.duplicates.grouping import group
from rrzoo.gallery.duplicates.linking import LINKS, SHARE, SURE, Groups, Judged, link
from rrzoo.gallery.duplicates.looks import Look, inside_frame

NAMES = ("lion.jpg", "cheetah1.jpg", "tower.jpg")  # photographs that come with Gradio


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    found = {path.name: path for path in Path(gradio.__file__).parent.rglob("*.jpg")}
    return [Image.open(found[name]).convert("RGB") for name in NAMES]


def copies(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Yield what people make of a picture."""
    width, height = picture.size
    yield "smaller", picture.resize((width // 2, height // 2))
    yield "cropped", picture.crop((width // 10, height // 8, width - width // 12, height - height // 12))
    yield "wide", picture.crop((0, height // 5, width, height // 5 + width * 9 // 16))
    yield "framed", ImageOps.expand(picture, width // 8, (250, 250, 250))
    yield "mirrored", ImageOps.mirror(picture)
    yield "grey", ImageOps.grayscale(picture).convert("RGB")
    yield "brighter", ImageEnhance.Brightness(picture).enhance(1.3)
    yield "blurred", picture.filter(ImageFilter.GaussianBlur(width / 150))
    yield "turned", picture.rotate(3).crop((width // 16, height // 16, width - width // 16, height - height // 16))


@pytest.fixture
def folder(tmp_path: Path, photographs: list[Image.Image]) -> Path:
    """Three photographs with nine copies each, six clay figures, and what shows next to nothing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, picture in zip(NAMES, photographs, strict=True):
        stem = name.partition(".")[0]
        picture.save(folder / f"{stem}-original.jpg", quality=95)
        for kind, copy in copies(picture):
            copy.save(folder / f"{stem}-{kind}.jpg", quality=80)
    clay = datasets.load("clay10", "test")
    for row in range(0, 600, 100):
        Image.fromarray(clay.images[row]).save(folder / f"clay{row}-original.png")
    random = np.random.default_rng(2)
    for number, level in enumerate((0, 2, 5, 128, 250, 255)):
        plain = np.full((200, 300, 3), level) + random.normal(0, 1.5, (200, 300, 3)) * (level % 5 > 0)
        Image.fromarray(plain.clip(0, 255).astype(np.uint8)).save(folder / f"plain{number}-flat.png")
    for level in (30, 200):  # fog: both grow lighter towards the ground
        fog = np.full((200, 300, 3), level) + np.linspace(0, 40, 200)[:, None, None]
        Image.fromarray(fog.astype(np.uint8)).save(folder / f"fog{level}-flat.png")
    return folder


def names(groups: list[rrzoo.gallery.duplicates.CopyGroup]) -> list[set[str]]:
    return [{copy.source for copy in one.copies} for one in groups]


def test_copies_of_photographs_are_found_and_nothing_else(folder: Path) -> None:
    gallery = rrzoo.Gallery.build(rrzoo.load("lite0-stl10"), folder)
    found = names(gallery.duplicates(folder=folder))
    assert [{name.split("-")[0] for name in one} for one in found] == [{"cheetah1"}, {"lion"}, {"tower"}]
    assert sum(map(len, found)) >= 27  # of 30


def test_a_model_that_nothing_was_fitted_for_finds_copies_too(model: rrzoo.Model, folder: Path) -> None:
    found = names(rrzoo.Gallery.build(model, folder).duplicates(0.9))
    assert {"cheetah1-mirrored.jpg", "cheetah1-original.jpg"} <= next(
        one for one in found if "cheetah1-grey.jpg" in one
    )
    assert all(len({name.split("-")[0] for name in one}) == 1 for one in found)
    assert not any("flat" in name for one in found for name in one)


def linked_slowly(probabilities: dict[tuple[int, int], float], count: int, threshold: float) -> set[frozenset[int]]:
    """Join sets as `link` says, asking all pairs from the likeliest on, again and again."""
    sets = [{row} for row in range(count)]
    ordered = sorted((-p, pair) for pair, p in probabilities.items() if p >= threshold)
    for _ in range(count):
        for minus, (left, right) in ordered:
            one, other = (next(rows for rows in sets if row in rows) for row in (left, right))
            if one is other:
                continue
            between = [p for pair, p in probabilities.items() if len(one & {*pair}) == len(other & {*pair}) == 1]
            links = sum(p >= threshold for p in between)
            many = links >= LINKS and links >= SHARE * len(between)
            if min(len(one), len(other)) == 1 or -minus >= SURE or many:
                one |= other
                sets.remove(other)
    return {frozenset(rows) for rows in sets if len(rows) > 1}


def test_sets_are_linked_as_the_slow_way_links_them(random: np.random.Generator) -> None:
    refused = 0
    for _ in range(60):
        count = int(random.integers(2, 30))
        left, right = np.triu_indices(count, 1)
        chosen = random.random(len(left)) < random.uniform(0.1, 0.9)
        left, right = left[chosen], right[chosen]
        # unlikely pairs, likely ones, and a sure one now and then; no two alike
        probability = random.random(len(left)) ** random.uniform(1, 12)
        groups = Groups(count)
        link(groups, Judged(left, right, probability, count), 0.6)
        pairs = dict(zip(zip(left.tolist(), right.tolist(), strict=True), probability.tolist(), strict=True))
        assert {frozenset(rows) for rows in groups.listed()} == linked_slowly(pairs, count, 0.6)
        refused += any(p >= 0.6 and groups.label[a] != groups.label[b] for (a, b), p in pairs.items())
    assert refused > 5  # a likely pair between two sets did not join them


def test_one_pair_does_not_join_two_groups() -> None:
    within = [(a, b, 0.97) for start in (0, 3) for a, b in ((start, start + 1), (start + 1, start + 2))]
    for between, parts in (
        ([(0, 3, 0.95)], 2),
        ([(0, 3, 0.995)], 1),
        ([(0, 3, 0.95), (1, 4, 0.9)], 1),
        ([(0, 3, 0.95), (1, 4, 0.5)], 2),
        ([(0, 3, 0.95), (2, 5, 0.9), *((a, b, 0.1) for a in range(3) for b in range(3, 6) if a != b - 3)], 1),
        ([(0, 6, 0.9)], 2),  # a single picture needs no second pair
    ):
        groups = Groups(7)
        left, right, probability = map(np.array, zip(*within, *between, strict=True))
        link(groups, Judged(left, right, probability, 7), 0.9)
        assert len(groups.listed()) == parts, between


def test_two_pairs_of_many_do_not_join_two_groups() -> None:
    left, right = np.triu_indices(8, 1)
    probability = np.where((left < 4) == (right < 4), 0.95, 0.2)
    probability[(left == 0) & np.isin(right, (4, 5))] = 0.9
    groups = Groups(8)
    link(groups, Judged(left, right, probability, 8), 0.9)
    assert groups.listed() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("small", [0, 1000])
def test_groups_equal_those_of_all_pairs(
    model: rrzoo.Model, folder: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In large galleries, pictures whose first two candidates are no copies go no further, and copies look alike."""
    monkeypatch.setattr(grouping, "SMALL", small)
    monkeypatch.setattr(grouping, "RESEMBLING", 0.7)  # so that it says no to some copies
    for path in sorted(folder.glob("tower*"))[4:]:
        path.unlink()
    for path in folder.glob("clay*"):
        path.unlink()
    gallery = rrzoo.Gallery.build(model, folder)
    comparison, count = gallery.comparison(), len(gallery)
    left, right = np.triu_indices(count, 1)
    probability = comparison.probability(left, right)
    if not small:
        looks = comparison.looks_of(left), comparison.looks_of(right)
        alike = screening.resemblance(*looks) >= grouping.RESEMBLING
        assert (probability[~alike] > 0).any()
        probability[~alike] = 0
    every = dict(zip(zip(left.tolist(), right.tolist(), strict=True), probability.tolist(), strict=True))
    looks = comparison.looks_of(np.arange(count))
    seen = screening.glances(looks).numpy()
    likeness = seen @ seen.T - 2 * np.eye(count)
    first = [-1 if look.flat else int(row.argmax()) for look, row in zip(looks, likeness, strict=True)]
    near = np.c_[first, neighbours.nearest(torch.from_numpy(np.asarray(comparison.unit)), 16).numpy()]
    asked: dict[tuple[int, int], float] = {}
    has_copy: set[int] = set()
    for rank in range(near.shape[1]):
        for row in range(count) if small or rank < 2 else sorted(has_copy):
            pair = (min(row, int(near[row, rank])), max(row, int(near[row, rank])))
            if pair[0] >= 0:
                asked[pair] = every[pair]
        has_copy = {row for pair, p in asked.items() if p >= 0.9 for row in pair}
    moves: list[tuple[int, int]] = []
    found = group(gallery.comparison(), 0.9, progress=lambda done, total: moves.append((done, total)))
    assert {frozenset(rows) for rows in found.listed()} == linked_slowly(asked, count, 0.9)
    done, most = zip(*moves, strict=True)
    assert list(done) == sorted(done)
    assert all(now <= total for now, total in moves)
    assert done[-1] == most[-1] <= count + near.size


def test_sets_are_joined() -> None:
    groups = Groups(6)
    for left, right, probability in ((4, 1, 0.9), (1, 5, 0.95), (2, 3, 0.99), (5, 4, 0.97)):
        groups.join(left, right, probability)
    assert groups.listed() == [[1, 4, 5], [2, 3]]
    assert groups.probability.tolist() == [0, 0.95, 0.99, 0.99, 0.97, 0.97]
    assert sorted(groups.rows(4)) == [1, 4, 5]
    assert groups.rows(0) == [0]


def test_one_file_under_two_names_is_a_copy_even_where_it_shows_nothing(model: rrzoo.Model, folder: Path) -> None:
    (folder / "again.png").write_bytes((folder / "plain0-flat.png").read_bytes())
    found = rrzoo.Gallery.build(model, folder).duplicates(folder=folder)
    assert {"again.png", "plain0-flat.png"} in names(found)
    (one,) = [one for one in found if one.copies[0].source == "again.png"]
    assert [copy.probability for copy in one.copies] == [1, 1]


def test_a_gallery_of_one_and_of_a_data_set(model: rrzoo.Model, photographs: list[Image.Image]) -> None:
    assert rrzoo.Gallery.from_images(model, photographs[:1]).duplicates() == []
    found = rrzoo.Gallery.from_images(model, [photographs[0], *photographs]).duplicates()
    assert [[copy.row for copy in one.copies] for one in found] == [[0, 1]]
    assert found[0].best.quality is None


@pytest.mark.parametrize("precision", [0.2, 1.0, math.nan])
def test_a_precision_that_was_not_measured_is_refused(precision: float) -> None:
    with pytest.raises(errors.ArgumentError, match=r"precision is .*: 0.5 to 0.99\d* can be asked for"):
        evidence.judge_of("unknown").threshold(precision)


def test_more_precision_needs_more_probability() -> None:
    for judge in evidence.calibration().judges.values():
        thresholds = [judge.threshold(precision) for precision in (0.5, 0.8, 0.9, 0.99)]
        assert thresholds == sorted(thresholds)
        assert judge.threshold(0.99) < 1


def test_nearest_equals_brute_force(random: np.random.Generator) -> None:
    unit = random.normal(size=(300, 8)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = neighbours.nearest(torch.from_numpy(unit), 5).numpy()
    for row, near in enumerate(found):
        order = np.argsort(-(unit @ unit[row]))
        assert near.tolist() == [other for other in order.tolist() if other != row][:5]


def test_what_looks_alike_at_a_glance_is_a_candidate(model: rrzoo.Model, photographs: list[Image.Image]) -> None:
    """Even where the embedding is of something else."""
    grey = [picture.filter(ImageFilter.GaussianBlur(3)).convert("L").convert("RGB") for picture in photographs]
    plain = [Image.new("RGB", (50, 50), (200, level, 0)) for level in (0, 200)]
    comparison = rrzoo.Gallery.from_images(model, [*photographs, *plain, *grey]).comparison()
    found = grouping.candidates(comparison, 2)
    assert found[:, 0].tolist() == [5, 6, 7, -1, -1, 0, 1, 2]
    unit = torch.from_numpy(np.asarray(comparison.unit))
    assert (found[:, 1:] == neighbours.nearest(unit, 2).numpy()).all()


def test_cells_find_near_copies(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT", 100)
    unit = random.normal(size=(4000, 24)).astype(np.float32)
    unit = np.concatenate([unit, unit + random.normal(size=unit.shape).astype(np.float32) * 0.1])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = neighbours.nearest(torch.from_numpy(unit), 3).numpy()
    twins = np.concatenate([np.arange(4000) + 4000, np.arange(4000)])
    assert (found == twins[:, None]).any(1).mean() > 0.97
    assert not (found == np.arange(8000)[:, None]).any()


def test_alignment_finds_a_part_wherever_it_is(photographs: list[Image.Image]) -> None:
    for picture in photographs:
        width, height = picture.size
        for share, across, down in ((0.8, 0.0, 1.0), (0.9, 1.0, 0.3), (0.7, 0.5, 0.5)):
            left, top = across * (1 - share) * width, down * (1 - share) * height
            part = picture.crop((round(left), round(top), round(left + share * width), round(top + share * height)))
            for seen in (part, ImageOps.mirror(part)):
                ((correlation, overlap),) = alignment.align([Look.of(picture)], [Look.of(seen)])
                assert correlation > 0.85
                assert overlap > 0.85


def test_alignment_tells_photographs_apart(photographs: list[Image.Image]) -> None:
    looks = [Look.of(picture) for picture in photographs]
    correlations = alignment.align([looks[0], looks[0], looks[1]], [looks[1], looks[2], looks[2]])[:, 0]
    assert correlations.max() < 0.6
    assert alignment.align([], []).shape == (0, 2)


def test_pictures_that_agree_nowhere() -> None:
    """Where a picture lies on the other, their slopes are opposed: the best correlation is where it does not."""
    rising = np.broadcast_to(np.linspace(0, 255, 48).astype(np.uint8), (48, 48))
    steps = np.where(np.arange(48) < 24, 40, 200).astype(np.uint8)[:, None] * np.ones((1, 48), np.uint8)
    looks = [Look(grey, (1.0, 1.0), flat=False) for grey in (rising, 255 - rising, steps)]
    ((opposed, _), (across, _)) = alignment.align([looks[0]] * 2, looks[1:])
    assert opposed > 0.99  # mirrored, they are one
    assert across < 0.5


def slow_resemblance(left: Look, right: Look) -> float:
    """Try all shifts, one after another, plain and mirrored."""

    def slopes(look: Look, side: int) -> np.ndarray:
        picture, half = torch.from_numpy(look.canvas).float()[None, None], torch.tensor([look.half])
        found: np.ndarray = gradients.slopes_of(picture, half, side)[0].numpy()
        return found

    best = -1.0
    for scale in screening.SCALES:
        side, size = screening.SIDE, round(screening.SIDE * scale)
        other = np.zeros((2, side + 2 * size, side + 2 * size))
        mine, theirs = slopes(left, side), slopes(right, size)
        other[:, size : size + side, size : size + side] = mine
        for seen in (other, other[:, :, ::-1] * np.array([-1.0, 1.0])[:, None, None]):
            for down in range(side + size + 1):
                for across in range(side + size + 1):
                    product = (seen[:, down : down + size, across : across + size] * theirs).sum()
                    best = max(best, product / math.sqrt((mine**2).sum() * (theirs**2).sum()))
    return best


def test_resemblance_equals_trying_all_shifts(photographs: list[Image.Image]) -> None:
    looks = [Look.of(picture) for picture in photographs]
    width, height = photographs[0].size
    looks.append(Look.of(ImageOps.mirror(photographs[0].crop((width // 4, height // 5, width, height)))))
    left, right = [looks[0], looks[1], looks[0], looks[3]], [looks[3], looks[2], looks[0], looks[1]]
    found = screening.resemblance(left, right)
    assert found == pytest.approx([slow_resemblance(*pair) for pair in zip(left, right, strict=True)], abs=1e-5)
    assert found[2] == pytest.approx(1)
    assert found[0] > 1.3 * max(found[1], found[3])


def test_what_shows_nothing_resembles_nothing(photographs: list[Image.Image]) -> None:
    plain, seen = Look.of(Image.new("RGB", (80, 60), (9, 9, 9))), Look.of(photographs[0])
    left = [plain, *[seen] * gradients.BLOCK, plain, seen]
    right = [seen, *[seen] * gradients.BLOCK, plain, seen]
    expected = [0, *[1] * gradients.BLOCK, 0, 1]
    assert screening.resemblance(left, right) == pytest.approx(expected)
    before = torch.get_num_threads()
    assert alignment.align(left, right)[:, 1] == pytest.approx(expected, abs=0.05)
    assert torch.get_num_threads() == before


def test_a_look_lies_in_the_middle_and_its_edges_go_on(photographs: list[Image.Image]) -> None:
    look = Look.of(photographs[0].resize((96, 40)))
    assert look.half == (1, 20 / 48)
    inner = look.canvas[14:34]
    assert (look.canvas == np.pad(inner, ((14, 14), (0, 0)), "edge")).all()
    grey = np.asarray(photographs[0].resize((96, 40)).convert("L").resize((48, 20), Image.Resampling.BOX))
    assert (inner == grey).all()
    tall = Look.of(photographs[0].resize((40, 96)))
    assert tall.half == (20 / 48, 1)
    assert (tall.canvas[:, :14] == tall.canvas[:, 14:15]).all()


def test_a_frame_is_taken_off(random: np.random.Generator) -> None:
    picture = smooth_image(random, 60, 80)
    framed = np.full((100, 100, 3), 240, np.uint8)
    framed[30:90, 10:90] = picture
    left, top, right, bottom = inside_frame(framed)
    assert abs(np.array([left - 10, top - 30, right - 90, bottom - 90])).max() <= 3
    assert inside_frame(picture)[2:] == (80, 60)
    left, top, right, bottom = inside_frame(framed)
    bare, taken_off = Look.of(Image.fromarray(framed[top:bottom, left:right])), Look.of(Image.fromarray(framed))
    assert (taken_off.canvas == bare.canvas).all()
    assert taken_off.half == bare.half
    plain = np.full((50, 70, 3), 9, np.uint8)
    assert inside_frame(plain) == (0, 0, 70, 50)
    assert Look.of(Image.fromarray(plain)).flat
    assert not Look.of(Image.fromarray(picture)).flat


def test_the_best_copy_has_most_pixels_is_sharp_and_little_compressed(
    tmp_path: Path, photographs: list[Image.Image]
) -> None:
    picture = photographs[0]
    width, height = picture.size
    small = picture.resize((width // 2, height // 2))
    picture.save(tmp_path / "original.jpg", quality=95)
    picture.save(tmp_path / "compressed.jpg", quality=30)
    picture.filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "blurred.jpg", quality=95)
    small.save(tmp_path / "small.jpg", quality=95)
    small.resize((width, height)).save(tmp_path / "enlarged.jpg", quality=95)
    qualities = {path.stem: Quality.of(path) for path in tmp_path.iterdir()}
    worths = {name: quality.worth for name, quality in qualities.items() if quality}
    assert max(worths, key=lambda name: worths[name]) == "original"
    assert len(worths) == 5
    picture.resize((2 * width, 3 * height)).save(tmp_path / "stretched.jpg", quality=95)
    stretched = Quality.of(tmp_path / "stretched.jpg")
    order = best_first([None, stretched, qualities["small"], qualities["original"]])
    assert order == [3, 2, 1, 0]  # the most frequent shape before the most pixels
    assert best_first([None, None]) == [0, 1]
    original = qualities["original"]
    assert original is not None
    assert (original.width, original.height) == picture.size
    (tmp_path / "gone.jpg").write_bytes(b"")
    assert Quality.of(tmp_path / "gone.jpg") is None
