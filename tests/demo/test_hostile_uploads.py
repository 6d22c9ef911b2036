"""What a running demo does with files that nobody should send: an answer or a sentence, and nothing left on disk."""

import io
import json
import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from conftest import smooth_image
from rrzoo.demo import uploads
from test_images import chunk_bomb, jpeg, png

RANDOM = np.random.default_rng(5)
PICTURE = Image.fromarray(smooth_image(RANDOM, 90, 120))


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(PICTURE, "JPEG", exif=exif)


def animation() -> bytes:
    return saved(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(90)], loop=0)


def photograph() -> bytes:
    """A photograph of 48 million pixels, as telephones take them."""
    return saved(PICTURE.resize((8000, 6000)), "JPEG", quality=50)


HANDLED: dict[str, Callable[[], bytes]] = {
    "animated.gif": animation,
    "cmyk.jpg": lambda: saved(PICTURE.convert("CMYK"), "JPEG"),
    "sixteen bits.png": lambda: saved(Image.fromarray(np.asarray(PICTURE)[..., 0].astype(np.uint16) * 257), "PNG"),
    "palette.png": lambda: saved(PICTURE.convert("P"), "PNG", transparency=3),
    "turned.jpg": turned,
    "48 million pixels.jpg": photograph,
    "no suffix": lambda: saved(PICTURE, "PNG"),
}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated.jpg": (lambda: jpeg(64)[:900], "is damaged and can't be decoded"),
    "truncated.png": (lambda: saved(PICTURE, "PNG")[:500], "is damaged and can't be decoded"),
    "20000 x 20000.png": (lambda: png(20000, 20000, b""), "more than 50 million pixels: make it smaller first"),
    "5000 x 5000.png": (lambda: png(5000, 5000, b""), "more than 16 million pixels: make it smaller first"),
    "text.jpg": (lambda: b"Dear model, I am no picture.", "not an image that can be read: use JPEG"),
    "drawing.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image that can be read: use JPEG"),
    "text bomb.png": (lambda: chunk_bomb(b"zTXt", b"Comment\0\0"), "is damaged and can't be decoded"),
    "profile bomb.png": (lambda: chunk_bomb(b"iCCP", b"p\0\0"), "is damaged and can't be decoded"),
    "zero bytes.png": (lambda: b"", "not an image that can be read: use JPEG"),
    "header alone.png": (lambda: b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR", "can't be read: Truncated"),
}


def upload(server: str, name: str, content: bytes) -> httpx.Response:
    return httpx.post(f"{server}/gradio_api/upload", files={"files": (name, content)}, timeout=60, trust_env=False)


def call(server: str, endpoint: str, *data: object) -> tuple[str, Any]:
    """Return how an endpoint's answer ends ("complete", "error"), and the data of it."""
    address = f"{server}/gradio_api/call/{endpoint}"
    joined = httpx.post(address, json={"data": data}, timeout=60, trust_env=False)
    if joined.status_code != 200:
        return "error", joined.json()
    answer = httpx.get(f"{address}/{joined.json()['event_id']}", timeout=60, trust_env=False).text
    event, data_line = re.findall(r"^event: (\w+)\ndata: (.*)$", answer, re.MULTILINE)[-1]
    return event, json.loads(data_line)


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def on_disk(folder: Path, name: str) -> list[Path]:
    """Find an upload: Gradio drops what it does not like in a name."""
    stored = re.sub(r"[^\w.]", "", name.replace(" ", ""))
    return [path for path in folder.rglob("*") if re.sub(r"[^\w.]", "", path.name) == stored]


@pytest.mark.parametrize("name", HANDLED)
def test_unusual_pictures_are_answered(server: str, demo_folder: Path, name: str) -> None:
    (path,) = upload(server, name, HANDLED[name]()).json()
    assert Path(path).is_file()
    event, (answer,) = call(server, "embed", file_data(path))
    assert event == "complete"
    assert np.linalg.norm(answer) == pytest.approx(1, abs=1e-4)
    assert not Path(path).exists()
    assert on_disk(demo_folder / "uploads", name) == []


@pytest.mark.parametrize("name", REFUSED)
def test_broken_files_get_a_sentence(server: str, demo_folder: Path, name: str) -> None:
    content, sentence = REFUSED[name]
    (path,) = upload(server, name, content()).json()
    event, answer = call(server, "embed", file_data(path))
    assert event == "error"
    assert re.search(sentence, answer["error"])
    assert str(Path(path).parent) not in answer["error"]
    assert not Path(path).exists()
    assert on_disk(demo_folder / "uploads", name) == []


def test_fifty_megabytes(server: str, demo_folder: Path) -> None:
    before = sorted((demo_folder / "uploads").rglob("*"))
    answer = upload(server, "fifty.jpg", bytes(50_000_000))
    assert answer.status_code == 413
    assert "A file is larger than 20 MB" in answer.text
    assert sorted((demo_folder / "uploads").rglob("*")) == before


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (file_data("data:image/png;base64,AAAA"), "a data: URL: upload it as a file"),
        ({"url": "data:image/png;base64,AAAA", "meta": {"_type": "gradio.FileData"}}, "as an address, and none is"),
        (file_data("/etc/passwd"), "passwd was not uploaded here: upload the picture first"),
        (file_data("../../../../etc/passwd"), "passwd was not uploaded here"),
        (file_data("http://127.0.0.1:1/secret.png"), "as an address, and none is opened here: upload it as a file"),
        (file_data("http://169.254.169.254/gradio_api/file=/etc/passwd"), "passwd was not uploaded here"),
        ({"path": "/etc/passwd", "url": "http://127.0.0.1:1/a.png"}, "passwd was not uploaded here"),
        ("/etc/passwd", "does not fit this endpoint"),
        ([1, 2], "does not fit this endpoint"),
        (None, "No picture arrived"),
    ],
)
def test_what_was_not_uploaded_is_not_opened(server: str, value: object, sentence: str) -> None:
    event, answer = call(server, "classify", value)
    assert event == "error"
    assert sentence in answer["error"]


def test_a_body_that_is_too_large_is_not_read(server: str) -> None:
    event, answer = call(server, "embed", file_data("data:image/png;base64," + "A" * 3_000_000))
    assert event == "error"
    assert "larger than 2 MB" in answer["detail"]


def test_one_picture_of_two_visitors(server: str) -> None:
    """One is removed without the other; and an address of this server stands for its file."""
    content = saved(PICTURE, "PNG")
    (one,), (other,) = (upload(server, "same.png", content).json() for _ in range(2))
    first = call(server, "embed", file_data(one))
    assert call(server, "embed", file_data(f"{server}/gradio_api/file={other}")) == first
    event, answer = call(server, "embed", file_data(one))
    assert event == "error"
    assert "same.png is not here any more: upload it again" in answer["error"]


def test_the_pages_own_pictures_are_not_removed(server: str, demo_folder: Path) -> None:
    (own, *_) = (demo_folder / "uploads").rglob("*.webp")
    assert call(server, "embed", file_data(str(own)))[0] == "complete"
    assert own.exists()


def test_sweeping(tmp_path: Path) -> None:
    for name in ("old/a.png", "own/b.png", "new/c.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
        if name != "new/c.png":
            for path in (tmp_path / name, (tmp_path / name).parent):
                os.utime(path, (time.time() - 100,) * 2)
    uploads.sweep(tmp_path, {tmp_path / "own", tmp_path / "own" / "b.png"}, max_age=50)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["b.png", "c.png"]
