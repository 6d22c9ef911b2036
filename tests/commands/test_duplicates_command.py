"""rrzoo duplicates: table, JSON, page, links, and that no picture is ever changed."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import gradio
import pytest
from PIL import Image, ImageOps

from conftest import Outcome

ODD = "<img src=x onerror=alert(1)> & \"'.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photograph, a mirrored copy of it of an odd name, another one, and a file that is no picture."""
    found = {path.name: path for path in Path(gradio.__file__).parent.rglob("*.jpg")}
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    lion = Image.open(found["lion.jpg"]).convert("RGB")
    lion.save(folder / "lion.jpg", quality=95)
    ImageOps.mirror(lion).resize((lion.width // 2, lion.height // 2)).save(folder / "sub" / ODD)
    (folder / "tower.jpg").write_bytes(found["tower.jpg"].read_bytes())
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_table_json_page_and_links(photos: Path, tmp_path: Path, run_command: Callable[..., Outcome]) -> None:
    before = digests(photos)
    arguments = ("duplicates", photos, "--model", "conv4-cifar10")
    table = run_command(*arguments, "--html", tmp_path / "page.html", "--links", tmp_path / "links")
    assert table.status == 0
    first, best, other, last = table.out.splitlines()
    assert first == "1: 2 pictures"
    assert best.split()[:2] == ["keep", "lion.jpg"]
    assert ODD in other
    assert last == "3 pictures, 1 groups of copies, 1 beside the best of each, 0 series; nothing was deleted"
    assert "broken.jpg" in table.err
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/webp;base64,") == 2
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &quot;&#x27;.jpg" in page
    links = sorted((tmp_path / "links" / "0001").iterdir())
    assert [link.name for link in links] == ["1-best-lion.jpg", f"2-{ODD}"]
    assert [link.resolve() for link in links] == [photos / "lion.jpg", photos / "sub" / ODD]
    ((kept, copy),) = json.loads(run_command(*arguments, "--json").out)
    assert (kept["source"], copy["source"]) == ("lion.jpg", f"sub/{ODD}")
    assert kept["width"] == 2 * copy["width"]
    assert copy["bytes"] == (photos / "sub" / ODD).stat().st_size
    assert 0.5 < copy["probability"] <= 1
    assert digests(photos) == before


def test_no_copies(photos: Path, run_command: Callable[..., Outcome]) -> None:
    (photos / "lion.jpg").unlink()
    outcome = run_command("duplicates", photos, "--model", "conv4-cifar10")
    assert outcome.out == "2 pictures, 0 groups of copies, 0 beside the best of each, 0 series; nothing was deleted\n"
    assert json.loads(run_command("duplicates", photos, "--model", "conv4-cifar10", "--json").out) == []


def test_names_that_are_no_text_are_printed_and_linked(
    photos: Path, tmp_path: Path, run_command: Callable[..., Outcome]
) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m.jpg")
    (photos / name).write_bytes((photos / "tower.jpg").read_bytes())
    written = ("--html", tmp_path / "page.html", "--links", tmp_path / "links")
    outcome = run_command("duplicates", photos, "--model", "conv4-cifar10", *written)
    assert outcome.status == 0
    assert "\x1b" not in outcome.out
    outcome.out.encode()
    assert len(list((tmp_path / "links").iterdir())) == 2
    assert "caf?" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nowhere",), "nowhere is not a folder"),
        (("photos", "--precision", "1.5"), "precision is 1.5"),
        (("photos", "--links", "photos"), "photos is there already"),
        (("photos", "--html", "/proc/none/page.html"), "can't be written"),
    ],
)
def test_wrong_arguments(
    arguments: tuple[str, ...], problem: str, photos: Path, run_command: Callable[..., Outcome]
) -> None:
    before = digests(photos)
    outcome = run_command("duplicates", *arguments, "--model", "conv4-cifar10")
    assert outcome.status == 2
    assert problem in outcome.err.splitlines()[-1]
    assert digests(photos) == before
