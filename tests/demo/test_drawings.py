"""What the demo draws and keeps, without a browser: its numbers are those of rrzoo."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import numpy as np
import pytest

import rrzoo
from rrzoo import datasets, errors, images
from rrzoo.demo import about, drawing, learning, page, relating
from rrzoo.demo.examples import offered, photographs
from rrzoo.demo.once import once
from rrzoo.demo.visitors import Visitors

FIGURES = datasets.load("clay10", "test")
HORSE, TRUCK = FIGURES.images[610], FIGURES.images[910]


def test_views_of_no_strength_are_the_picture_and_differ_by_seed_at_full_strength(model: rrzoo.Model) -> None:
    still = learning.random_views(model, [HORSE, TRUCK], 3, 0.0, 0)
    size = model.config.architecture.image_size
    assert (still.shape, still.dtype) == ((2, 3, size, size, 3), np.uint8)
    assert np.abs(still.astype(int) - still[:, :1]).max() <= 1  # jittering by nothing rounds
    np.testing.assert_allclose(model.embed(still[0, 0])[0] @ model.embed(HORSE)[0], 1, atol=0.02)
    first, again, other = (learning.random_views(model, [HORSE, TRUCK], 3, 1.0, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any(axis=(2, 3, 4)).all()  # every view
    assert (first[:, 0] != first[:, 1]).any()
    with pytest.raises(errors.ArgumentError, match="1 views of strength 2: 2 to 16 views"):
        learning.random_views(model, [HORSE], 1, 2.0, 0)


def test_the_lesson_judges_each_pair_once(model: rrzoo.Model) -> None:
    markup = learning.lesson(model, [HORSE, TRUCK], 3, 1.0, 5)
    all_views = np.concatenate(list(learning.random_views(model, [HORSE, TRUCK], 3, 1.0, 5)))
    pairs = re.findall(r'title="([AB]\d) and ([AB]\d): a (\w+) pair, score ([\d.]+), (\w+)"', markup)
    assert len(pairs) == 15
    for one, two, kind, score, verdict in pairs:
        left, right = ("AB".index(name[0]) * 3 + int(name[1]) - 1 for name in (one, two))
        expected = model.relate(all_views[left], all_views[right])[0]
        assert float(score) == pytest.approx(expected, abs=0.006)
        assert kind == ("positive" if one[0] == two[0] else "negative")
        assert verdict == ("right" if (expected > 0.5) == (one[0] == two[0]) else "wrong")
    right = sum(verdict == "right" for *_, kind, _, verdict in pairs if kind == "negative")
    assert f"Of 9 negative pairs, the head gets <b>{right}</b> right" in markup


def test_a_score_among_others_of_the_gallery(model: rrzoo.Model) -> None:
    gallery = rrzoo.Gallery.from_images(model, list(FIGURES.images[::100]))
    same, other = relating.reference_scores(model, gallery)
    assert (len(same), len(other)) == (10, 1000)
    assert np.median(same) > np.median(other)
    every = relating.score_matrix(model, list(FIGURES.images[::100]))
    apart = every[~np.eye(10, dtype=bool)]
    # thumbnails are not used for these: the features are the gallery's own, and no picture is paired with itself
    assert np.abs(other[:, None] - apart).min(1).max() < 1e-4
    below = (other < 0.3).mean()
    assert f"Above {below:.0%} of random pairs of the gallery" in relating.histograms(model, gallery, 0.3)


def test_a_model_that_cannot_relate_says_so_where_the_scores_would_stand(
    model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = model.gallery()

    def refuse(*_: np.ndarray) -> np.ndarray:
        raise errors.ArgumentError("this model has no relation head: choose another")

    monkeypatch.setattr(gallery._rows, "can_rerank", False)
    monkeypatch.setattr(model, "relate_features", refuse)
    blocks = page.build("conv4-cifar10", lambda name: (model, gallery))
    shown = {
        block.elem_id: getattr(block, "value", None)
        for block in blocks.blocks.values()
        if getattr(block, "elem_id", None)
    }
    said = drawing.notice("this model has no relation head: choose another")
    assert shown["verdicts"] == said
    (relate,) = {function.fn for function in blocks.fns.values() if function.name == "relate_all"}
    assert relate is not None
    picture = np.zeros((32, 32, 3), np.uint8)
    assert relate([picture, picture], "conv4-cifar10")[0] == said
    assert shown["hits"].count("<li>") == 12


def test_where_photographs_are_searched_every_tab_begins_with_photographs(model: rrzoo.Model) -> None:
    gallery = rrzoo.Gallery.from_images(model, [one.picture for one in photographs()])
    pictures = [one.picture.astype(int) for one in offered(gallery)[0]]
    blocks = page.build("conv4-cifar10", lambda name: (model, gallery))
    parts = {getattr(block, "elem_id", None): block for block in blocks.blocks.values()}
    for elem_id in ("query", "subject", "source", "second"):
        shown = images.read(parts[elem_id].value["path"])
        assert any(shown.shape == one.shape and np.abs(shown - one).mean() < 9 for one in pictures), elem_id
    assert len(parts["related"].value) == 4
    buttons = [block.value for block in blocks.blocks.values() if isinstance(block, gr.Button)]
    assert "Photographs: cheetah, its mirror image, running cheetah, " in "".join(map(str, buttons))


def test_who_asks_while_it_is_computed_waits_for_the_one_result() -> None:
    """The page's first search, while the demo warms up, and a gallery of clay figures: seconds of both cores."""
    began, calls = threading.Barrier(4), []

    @once
    def slow(name: str) -> str:
        calls.append(name)
        time.sleep(0.2)
        if len(calls) == 1:
            raise ValueError(name)
        return name.upper()

    def ask() -> str:
        began.wait(10)
        try:
            return slow("a")
        except ValueError:
            return "failed"

    with ThreadPoolExecutor(4) as pool:
        answers = [one.result(10) for one in [pool.submit(ask) for _ in range(4)]]
    assert sorted(answers) == ["A", "A", "A", "failed"]
    assert calls == ["a", "a"]


def test_text_from_outside_stays_text() -> None:
    markup = drawing.grid([HORSE], ['<img src=x onerror="x">'], "<b>")
    assert "<img src=x" not in markup
    assert "<b>" not in markup


def test_a_broken_model_has_a_row_of_its_own(model: rrzoo.Model) -> None:
    broken = about.zoo.zoo_root() / "conv4-broken"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("<no JSON>")
    table, names = about.models_table(about.zoo.groups(), "conv4-cifar10")
    assert names.index("conv4-broken") == int(re.search(r'data-index="(\d+)">conv4-broken', table)[1])
    assert "can&#x27;t be read" in table
    assert "<no JSON>" not in table
    assert model.evaluation is not None
    assert f"{model.evaluation.linear_probe:.1%}" in table


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_galleries_of_visitors_expire_and_are_bounded(model: rrzoo.Model) -> None:
    clock = Clock()
    visitors = Visitors(most=7, idle=100, clock=clock)
    galleries = [rrzoo.Gallery.from_images(model, [HORSE, TRUCK, HORSE]) for _ in range(3)]
    visitors.keep("a", galleries[0])
    clock.now = 60
    visitors.keep("b", galleries[1])
    assert visitors.gallery("a", model) is galleries[0]  # a search keeps it
    clock.now = 150
    assert visitors.gallery("a", model) is galleries[0]
    assert visitors.gallery("b", model) is galleries[1]
    visitors.keep("c", galleries[2])  # nine pictures: the longest idle goes
    assert visitors.gallery("a", model) is None
    assert len(visitors) == 2
    visitors.drop("b")
    assert visitors.gallery("b", model) is None
    clock.now = 251
    assert visitors.gallery("c", model) is None
    assert len(visitors) == 0


def test_another_model_sees_a_visitors_gallery_anew(model: rrzoo.Model) -> None:
    visitors = Visitors()
    visitors.keep("a", rrzoo.Gallery.from_images(model, [HORSE, TRUCK]))
    visitors.gallery("a", model).sources = ["horse.png", "truck.png"]
    other = rrzoo.Model(model.config)
    gallery = visitors.gallery("a", other)
    assert gallery.model is other
    assert gallery.sources == ["horse.png", "truck.png"]
    np.testing.assert_allclose(gallery.features()[1], other.features(TRUCK)[0], atol=0.02)
    assert visitors.gallery("a", other) is gallery
