"""Your gallery and Learn, in a real browser, with photographs that Gradio's package brings along."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visiting import captions, tab, upload

import rrzoo
from conftest import OTHER_MODEL, Outcome
from rrzoo.gallery import Gallery

pytestmark = pytest.mark.slow

PHOTOGRAPHS = ("cheetah1.jpg", "lion.jpg", "tower.jpg", "bus.png", "groot.jpeg")
LEARNT = 600_000  # ms: the process that trains has the lowest priority


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Fifty crops of five photographs, no two of which overlap."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in PHOTOGRAPHS:
        picture = Image.open(gr.get_image(name)).convert("RGB").resize((480, 480))
        for number in range(10):
            left, top = number % 3 * 160, number // 3 * 120
            picture.crop((left, top, left + 160, top + 120)).save(folder / f"{name[:-4]}-{number}.jpg", quality=92)
    return sorted(folder.iterdir())


def test_a_gallery_of_the_visitors_own(
    page: Page, server: str, browser: Browser, demo_folder: Path, figures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    hostile = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.open(figures[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(hostile)
    before = set((demo_folder / "uploads").rglob("*.png"))  # of other tests' visitors
    tab(page, server, "yours")
    expect(page.locator("#own")).to_contain_text("No pictures of yours yet")
    upload(page, "drop", [*figures, hostile, tmp_path / "broken.png"])
    message, own = page.locator("#own-message"), captions(page.locator("#own"))
    expect(page.locator("#drop-message")).to_contain_text("4 pictures of yours are in memory")
    expect(page.locator("#drop-message")).to_contain_text("1 could not be read: image 5: broken.png is not an image")
    expect(own).to_have_count(4)
    assert set((demo_folder / "uploads").rglob("*.png")) <= before

    page.locator("#own button").nth(0).click()
    expect(own.first).to_contain_text("onerror")  # the mirrored horse, its name shown as text
    expect(own).to_have_count(3)  # the horse itself is not among its like
    upload(page, "own-query", figures[2])
    expect(own.first).to_have_text("bird.png · 1.00")
    page.locator("#model input").click()
    page.get_by_role("option", name=OTHER_MODEL).click()
    expect(message).to_contain_text(f"4 pictures of yours, as {OTHER_MODEL} sees them")

    stranger = browser.new_page()
    stranger.goto(f"{server}/?tab=yours")
    upload(stranger, "own-query", figures[2])
    expect(stranger.get_by_test_id("toast-body")).to_contain_text("your pictures are not in memory")
    stranger.close()
    page.get_by_role("button", name="Forget my pictures").click()
    expect(page.locator("#own")).to_contain_text("No pictures of yours yet")
    page.get_by_role("button", name="Or try it with 40 clay figures").click()
    expect(own).to_have_count(40)


def test_all_pictures_are_seen_and_more_are_added(page: Page, server: str, photographs: list[Path]) -> None:
    tab(page, server, "yours")
    own, message = captions(page.locator("#own")), page.locator("#own-message")
    upload(page, "drop", photographs[:30])
    expect(own).to_have_count(30)
    expect(page.locator("#drop-message")).to_contain_text("30 pictures of yours are in memory")
    upload(page, "drop", photographs[30:])
    expect(page.locator("#drop-message")).to_contain_text("20 more, 50 pictures of yours are in memory")
    expect(own).to_have_count(48)
    expect(message).to_contain_text("of which 1 to 48 are shown")
    expect(page.locator("[data-room]:visible")).to_contain_text("Room for 450 more pictures, of 20 MB each.")
    page.get_by_role("button", name="Next 48").click()
    expect(own).to_have_count(2)
    expect(own).to_have_text([path.name for path in photographs[48:]])
    page.locator("#own button").nth(1).click()
    expect(own).to_have_count(24)
    expect(own.filter(has_text=photographs[49].name)).to_have_count(0)
    page.get_by_role("button", name="Back to all my pictures").click()
    expect(own).to_have_count(48)
    expect(page.get_by_role("button", name="Previous 48")).to_have_count(0)


def test_copies_are_found_and_the_gallery_is_taken_home(
    page: Page, server: str, photographs: list[Path], tmp_path: Path, run_command: Callable[..., Outcome]
) -> None:
    smaller = tmp_path / "smaller.jpg"
    Image.open(photographs[22]).resize((120, 90)).save(smaller, quality=60)
    tab(page, server, "yours")
    upload(page, "drop", [*photographs[:2], *photographs[20:24], smaller])
    own = captions(page.locator("#own"))
    expect(own).to_have_count(7)
    page.get_by_role("button", name="Find copies", exact=True).click()
    expect(page.locator("#own h3").first).to_contain_text("pictures")
    for name in (smaller.name, photographs[22].name):
        expect(own.filter(has_text=name)).not_to_have_count(0)
    page.get_by_role("button", name="Download", exact=True).click()
    with page.expect_download() as download:
        page.locator("#own-file").click()
    zipfile.ZipFile(download.value.path()).extractall(tmp_path / "home")
    done = run_command(
        "search",
        smaller,
        "--model",
        "conv4-cifar10",
        "--gallery",
        tmp_path / "home" / "my-gallery",
        "-k",
        "2",
        "--json",
    )
    assert {hit["source"] for hit in json.loads(done.out)} == {smaller.name, photographs[22].name}


def test_the_map_shows_where_a_query_falls(page: Page, server: str, photographs: list[Path]) -> None:
    tab(page, server, "yours")
    upload(page, "drop", photographs[:30])
    expect(captions(page.locator("#own"))).to_have_count(30)
    page.get_by_role("button", name="Map", exact=True).click()
    drawn = page.frame_locator("#own iframe.map")
    expect(drawn.locator("#said")).to_contain_text("30 pictures")
    assert drawn.locator("#data").evaluate("element => JSON.parse(element.textContent).query") is None
    upload(page, "own-query", photographs[40])
    expect(page.locator("#own-message")).to_contain_text("Nearest of your pictures to this one")
    page.get_by_role("button", name="Map", exact=True).click()
    expect(page.locator("#own-message")).to_contain_text("The cross is the picture that you searched with.")
    x, y = drawn.locator("#data").evaluate("element => JSON.parse(element.textContent).query")
    assert 0 <= x <= 1
    assert 0 <= y <= 1
    page.get_by_role("button", name="Back to all my pictures").click()
    expect(captions(page.locator("#own"))).to_have_count(30)


def test_what_there_is_no_room_for_is_said_before_it_is_uploaded(page: Page, server: str, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/upload") else None)
    many = [tmp_path / f"{number}.png" for number in range(501)]
    for path in many:
        path.write_bytes(b"x")
    tab(page, server, "yours")
    expect(page.locator("[data-room]:visible")).to_contain_text("Room for 500 pictures, of 20 MB each.")
    upload(page, "drop", many)
    problem = page.locator("#drop-problem")
    expect(problem).to_contain_text("You chose 501 pictures, room is for 500: choose fewer.")
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(20_500_000))
    upload(page, "drop", large)
    expect(problem).to_contain_text("large.jpg has 21 MB: at most 20 are taken.")
    assert sent == []


def test_a_model_learns_from_the_visitors_pictures(
    page: Page, server: str, photographs: list[Path], tmp_path: Path
) -> None:
    tab(page, server, "learning")
    status = page.locator("#learn-status")
    page.locator("#learn-start").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("there are no pictures to learn from")
    upload(page, "learn-drop", photographs[:30])
    expect(page.locator("#learn-drop-message")).to_contain_text("30 pictures of yours are in memory")
    page.locator("#learn-start").click()
    expect(status).to_contain_text("A process of your own starts")
    page.locator("#learn-stop").click()
    expect(status).to_contain_text("Stopped: nothing is kept of it.")
    page.locator("#learn-start").click()
    expect(page.locator("#learn-views img").first).to_be_visible(timeout=LEARNT)
    expect(status.locator("svg")).to_be_visible(timeout=LEARNT)
    expect(status).to_contain_text("On the 6 others it tells two views", timeout=LEARNT)
    page.locator("#learnt-pictures button").nth(4).click()
    for side in ("before", "after"):
        nearest = captions(page.locator(f"#learnt-{side}"))
        expect(nearest).to_have_count(8)
        expect(nearest.filter(has_text=photographs[4].name)).to_have_count(0)
    page.get_by_role("button", name="Find copies, before and after").click()
    for side in ("before", "after"):
        expect(page.locator(f"#learnt-{side}")).to_contain_text("groups of copies")
    with page.expect_download() as download:
        page.locator("#learn-file").click()
    zipfile.ZipFile(download.value.path()).extractall(tmp_path / "home")
    model = rrzoo.load(f"dir:{tmp_path / 'home' / 'my-pictures'}")
    gallery: Gallery = model.gallery()
    assert list(gallery.sources) == [path.name for path in photographs[:30]]
    assert gallery.search(photographs[4], 1)[0][0].row == 4
