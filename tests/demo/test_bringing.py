"""How pictures come to the page: dropped anywhere, a whole folder, of types that the browser does not know."""

import base64
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from visiting import captions, tab, upload

pytestmark = pytest.mark.slow

DROP = """(place, [name, data]) => {
  const brought = new DataTransfer();
  brought.items.add(new File([Uint8Array.from(atob(data), byte => byte.charCodeAt(0))], name));  // of no type
  place.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: brought}));
}"""
# what is dropped is a folder, with a note, a file, and a folder within it that holds another
FOLDER = """([first, second]) => {
  const bytes = data => Uint8Array.from(atob(data), byte => byte.charCodeAt(0));
  const file = (name, data) => ({isDirectory: false, name, file: take => take(new File([bytes(data)], name))});
  const folder = (name, ...entries) => ({isDirectory: true, name, createReader: () => {
    const left = [entries, []];  // a reader is asked until it gives nothing
    return {readEntries: take => take(left.shift())};
  }});
  DataTransferItem.prototype.webkitGetAsEntry = () =>
    folder("holidays", file("notes.txt", first), file("a.png", first), folder("more", file("b.PNG", second)));
}"""


def content(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def drop(place: Locator, path: Path) -> None:
    place.evaluate(DROP, [path.name, content(path)])


def test_a_picture_is_taken_wherever_it_is_dropped(page: Page, figures: list[Path]) -> None:
    """A browser left to itself leaves the page and shows the picture alone."""
    expect(captions(page.locator("#hits"))).to_have_count(12)
    drop(page.locator("#top"), figures[2])
    expect(captions(page.locator("#hits")).first).to_have_text(re.compile("bird"))
    drop(page.locator("#query"), figures[0])
    expect(captions(page.locator("#hits")).first).to_have_text(re.compile("horse"))


def test_what_is_no_picture_is_refused_once(page: Page, tmp_path: Path) -> None:
    expect(captions(page.locator("#hits"))).to_have_count(12)
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4")
    drop(page.locator("#query"), tmp_path / "report.pdf")
    expect(page.locator("#hits")).to_contain_text("report.pdf is not an image that can be read")
    page.wait_for_timeout(1000)
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_heic_is_taken_though_the_browser_cannot_show_it(page: Page, figures: list[Path], tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.open(figures[2]).resize((384, 384))).save(tmp_path / "IMG_1.HEIC", quality=95)
    expect(captions(page.locator("#hits"))).to_have_count(12)
    page.locator("#query").get_by_label("Remove Image").click()
    upload(page, "query", tmp_path / "IMG_1.HEIC")
    expect(captions(page.locator("#hits")).first).to_have_text(re.compile("bird"))
    expect(page.locator("#query img")).to_have_attribute("src", re.compile("^data:image/svg"))


def test_a_folder_is_dropped(page: Page, server: str, figures: list[Path]) -> None:
    tab(page, server, "yours")
    expect(page.locator("#drop")).to_be_visible()
    page.evaluate(FOLDER, [content(path) for path in figures[:2]])
    drop(page.locator("#drop .upload-container").first, figures[0])
    expect(page.locator("#drop-message")).to_contain_text("2 pictures of yours are in memory")
