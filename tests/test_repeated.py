"""Pictures of some megabytes that would take minutes to decode."""

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrzoo import errors, images
from rrzoo.images import repeated


def saved(form: str, size: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB" if form == "JPEG" else "P", (size, size)).save(file, form, **options)
    return file.getvalue()


def many_scans(count: int, size: int = 64) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    content = saved("JPEG", size, progressive=True)
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def separate_scans(count: int) -> bytes:
    """A sequential JPEG whose scans are of one colour each."""
    content = saved("JPEG", 64, subsampling=0)
    place = content.index(b"\xff\xda")
    one = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + content[place + 14 : -2]
    return content[:place] + one * count + b"\xff\xd9"


def comments(count: int) -> bytes:
    """A GIF with comments of one letter."""
    content = saved("GIF", 8)
    place = 13 + (3 << (content[10] & 7) + 1)
    return content[:place] + b"!\xfe\x01a\0" * count + content[place:]


def one_comment(count: int) -> bytes:
    """A GIF with one comment, letter by letter."""
    return comments(1).replace(b"!\xfe\x01a\0", b"!\xfe" + b"\x01a" * count + b"\0")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda: many_scans(20_000, 4000), "more than 100 scans: save it anew"),
        (lambda: separate_scans(1_000), "more than 100 scans: save it anew"),
        (lambda: comments(1_000_000), "more than 5000 blocks of text: save it anew"),
        (lambda: one_comment(1_000_000), "more than 5000 blocks of text: save it anew"),
    ],
)
def test_repetition_is_refused_before_it_takes_time(
    content: Callable[[], bytes], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(content())
    start = time.process_time()
    with pytest.raises(errors.ImageError, match=sentence):
        images.read(tmp_path / "a.jpg")
    assert time.process_time() - start < 1  # without the count: minutes


@pytest.mark.parametrize("content", [lambda: many_scans(50), lambda: comments(2_000), lambda: one_comment(2_000)])
def test_what_encoders_write_is_read(content: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content())
    assert images.read(tmp_path / "a.jpg").ndim == 3


def test_only_scans_are_counted(tmp_path: Path) -> None:
    """Not what looks like one in a picture's notes, nor in the film that telephones put behind it."""
    content = saved("JPEG", 64, progressive=True)
    note = b"\xff\xda\x00\x02" * 1000
    film = b"\xff\xda\x00\x02" * 10_000
    whole = content[:2] + b"\xff\xe3" + struct.pack(">H", len(note) + 2) + note + content[2:] + film
    (tmp_path / "a.jpg").write_bytes(whole)
    (tmp_path / "b.jpg").write_bytes(content)
    np.testing.assert_array_equal(images.read(tmp_path / "a.jpg"), images.read(tmp_path / "b.jpg"))


@pytest.mark.parametrize("end", [6, 11, 13, 20])
def test_what_is_cut_off_is_no_fault_here(end: int, tmp_path: Path) -> None:
    with (tmp_path / "a.gif").open("w+b") as file:
        file.write(comments(3)[:end])
        file.seek(4)
        repeated.check_blocks(file, tmp_path / "a.gif")
        assert file.tell() == 4
        repeated.check_scans(file, tmp_path / "a.gif")
        assert file.tell() == 4
