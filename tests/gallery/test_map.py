"""Maps of galleries: who lies near whom, what groups are called, and a page that needs nothing else."""

import importlib.util
import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import errors
from rrzoo.gallery import Gallery
from rrzoo.gallery.joining import join
from rrzoo.gallery.map import Layout, lay_out, layout, tsne
from rrzoo.gallery.map import page as map_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of pictures by colour, 20 of each, one with a hostile name."""
    random = np.random.default_rng(2)
    for number, name in enumerate(("blue", "green", "red")):
        (tmp_path / "shown" / name).mkdir(parents=True)
        for index in range(20):
            pixels = smooth_image(random, 40, 40) // 4
            pixels[..., 2 - number] += np.uint8(150)
            Image.fromarray(pixels).save(tmp_path / "shown" / name / f"{index}.png")
    hostile = tmp_path / "shown" / "red" / "<!--<script> &.png"
    (tmp_path / "shown" / "red" / "0.png").rename(hostile)
    return tmp_path / "shown"


def fixed_layout(gallery: Gallery) -> Layout:
    """Return a layout without PaCMAP: each class in a corner of its own."""
    random = np.random.default_rng(0)
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    places = corners[gallery.labels] + random.uniform(-0.05, 0.05, (len(gallery), 2))
    return Layout(np.arange(len(gallery)), places.astype(np.float32))


@pytest.mark.parametrize("many", [False, True])
def test_like_pictures_lie_near_each_other(
    model: rrzoo.Model, folder: Path, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        pytest.importorskip("pacmap", reason="needs the extra map")
        monkeypatch.setattr(layout, "FEW", 50)
    gallery = Gallery.build(model, folder)
    found = lay_out(gallery)
    assert found.places.dtype == np.float32
    assert found.places.min() >= 0
    assert found.places.max() <= 1
    assert np.array_equal(found.places, lay_out(gallery).places)  # one seed gives one map
    distances = np.linalg.norm(found.places[:, None] - found.places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (gallery.labels[distances.argmin(1)] == gallery.labels).mean() > 0.9


def test_many_pictures_need_pacmap_and_few_do_not(
    model: rrzoo.Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery.build(model, folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(lay_out(gallery).rows) == len(gallery)
    monkeypatch.setattr(layout, "FEW", 50)
    with pytest.raises(errors.ArgumentError, match=r"more than 50 pictures needs the package pacmap: pip install"):
        lay_out(gallery)


@pytest.mark.parametrize("count", [4, 30])
def test_equal_pictures_have_places_of_their_own(count: int) -> None:
    places = tsne.positions(np.tile(np.float32([[0.6, 0.8, 0]]), (count, 1)))
    assert np.isfinite(places).all()
    assert len(np.unique(places.round(6), axis=0)) == count


def test_groups_are_named_where_their_labels_lie() -> None:
    random = np.random.default_rng(1)
    places = np.concatenate([random.normal(middle, 0.03, (200, 2)) for middle in ((0.2, 0.2), (0.8, 0.7), (0.2, 0.8))])
    labels = np.repeat([0, 1, 0], 200)  # one class in two places
    labels[::40] = -1
    found = layout.groups(places.clip(0, 1), labels, ("cat", "dog"))
    largest = sorted((group.label, round(group.x, 1), round(group.y, 1)) for group in found[:3])
    assert largest == [("cat", 0.2, 0.2), ("cat", 0.2, 0.8), ("dog", 0.8, 0.7)]
    assert layout.groups(places.clip(0, 1), np.full(600, -1), ()) == []


def test_a_query_falls_amidst_its_nearest() -> None:
    found = Layout(np.array([2, 5, 9]), np.array([[0.1, 0.2], [0.2, 0.2], [0.9, 0.9]], np.float32))
    assert found.of_query([2, 5, 7]) == pytest.approx((0.15, 0.2))
    with pytest.raises(errors.ArgumentError, match="none of the picture's nearest is on the map"):
        found.of_query([1])


def test_too_few_pictures_are_refused(model: rrzoo.Model) -> None:
    few = Gallery.from_images(model, [np.zeros((40, 40, 3), np.uint8)] * 3)
    with pytest.raises(errors.GalleryError, match="3 pictures are too few for a map: at least 20"):
        lay_out(few)


def test_every_picture_is_on_the_sheet_where_the_page_looks(model: rrzoo.Model, folder: Path) -> None:
    gallery = Gallery.build(model, folder)
    text = map_page.page(gallery, fixed_layout(gallery), "Three colours")
    block = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    data = json.loads(block[1])
    assert "red/<!--<script> &.png" in data["names"]
    assert "<!--<script>" not in text  # it would swallow the rest of the page
    assert sorted(group[0] for group in data["groups"]) == ["blue", "green", "red"]
    assert [data["classes"][label] for label in data["labels"]] == [name.partition("/")[0] for name in data["names"]]


@pytest.mark.slow
def test_the_page_shows_thumbnails_where_one_zooms_in(
    browser: "Browser", model: rrzoo.Model, folder: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    gallery = Gallery.build(model, folder)
    map_page.write_page(tmp_path / "map.html", gallery, fixed_layout(gallery), "Three colours")
    page = browser.new_page(viewport={"width": 800, "height": 700})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda problem: complaints.append(str(problem)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url))
    page.goto(f"file://{tmp_path / 'map.html'}")
    canvas = page.locator("canvas")
    expect(canvas).to_have_attribute("data-shown", "60")
    expect(canvas).to_have_attribute("data-written", "3")
    canvas.focus()
    for key in ("ArrowLeft",) * 4 + ("ArrowDown",) * 4 + ("+",) * 4:
        page.keyboard.press(key)
    expect(canvas).to_have_attribute("data-shown", "20")  # blue alone, lower left
    page.set_viewport_size({"width": 100, "height": 500})
    for _ in range(12):
        page.keyboard.press("-")
    expect(canvas).to_have_attribute("data-written", "2")  # a name that another one would cover is left out
    page.set_viewport_size({"width": 800, "height": 700})
    for key in ("0",) + ("ArrowLeft",) * 4 + ("ArrowDown",) * 4 + ("+",) * 4:
        page.keyboard.press(key)
    box = canvas.bounding_box()
    assert box is not None
    said = page.locator("#said")
    for across, down in itertools.product(range(1, 20), repeat=2):  # some of these places are on a picture
        page.mouse.move(box["x"] + box["width"] * across / 20, box["y"] + box["height"] * down / 20)
        if said.inner_text().startswith("blue/"):
            break
    expect(said).to_have_text(re.compile(r"^blue/"))
    blue = (  # the page lets nothing be evaluated later on, as `wait_for_function` would
        "(() => {const c = document.getElementById('map'); const p = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let blue = 0; for (let i = 0; i < p.length; i += 4) "
        "blue += p[i + 2] > 120 && p[i] < 90; return blue > 5000})()"
    )
    deadline = time.monotonic() + 60
    while not page.evaluate(blue):
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    page.close()
    assert complaints == []


def test_the_command_says_what_it_wrote(
    run_command: Callable[..., Outcome], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "FEW", 50)
    monkeypatch.setattr("rrzoo.gallery.map.layout.importlib.util.find_spec", lambda name: None)
    done = run_command("map", folder, "--model", "conv4-cifar10")
    assert (done.status, done.err.splitlines()[-1]) == (
        2,
        "error: a map of more than 50 pictures needs the package pacmap: pip install 'rrzoo[map]'",
    )
    assert not (tmp_path / "map.html").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = run_command("map", folder, "--model", "conv4-cifar10", "--html", "a.html")
    assert done.status == 0, done.err
    assert "60 of 60 pictures in a.html" in done.out


def test_galleries_in_memory_are_joined(model: rrzoo.Model, random: np.random.Generator, tmp_path: Path) -> None:
    pictures = [smooth_image(random, 50, 70) for _ in range(7)]
    whole = Gallery.from_images(model, pictures)
    joined = join(Gallery.from_images(model, pictures[:4]), Gallery.from_images(model, pictures[4:]))
    assert list(joined.sources) == ["1", "2", "3", "4", "1", "2", "3"]
    assert np.allclose(joined.unit(), whole.unit(), atol=1e-6)
    assert np.allclose(joined.features(), whole.features(), atol=1e-4)
    for row in range(7):
        assert np.array_equal(np.asarray(joined.thumbnail(row)), np.asarray(whole.thumbnail(row)))
    assert [hit.row for hit in joined.search(pictures[5], 7, rerank=True)[0]] == [
        hit.row for hit in whole.search(pictures[5], 7, rerank=True)[0]
    ]
    joined.save(tmp_path / "saved")
    assert len(Gallery.load(model, tmp_path / "saved")) == 7
    other = Gallery.from_images(rrzoo.load("resnet8-cifar10"), pictures[:1])
    with pytest.raises(errors.ArgumentError, match="of two models"):
        join(whole, other)
