"""Images that nobody has checked."""

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rrzoo import errors, images


def png(width: int, height: int, rows: bytes) -> bytes:
    """Return an 8-bit grey PNG whose pixel data is `rows`, whatever its header says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(side: int) -> bytes:
    """Return a JPEG of noise."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def test_path_pil_and_array_agree(tmp_path: Path, random: np.random.Generator) -> None:
    array = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(array)
    picture.save(tmp_path / "a.png")
    for given in (array, picture, tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(images.read(given), array)
        np.testing.assert_array_equal(images.read_all(given)[0], array)
    assert len(images.read_all([array, picture])) == 2


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "blue")
    picture.paste("red", (0, 0, 20, 20))  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: what was left is on top
    picture.save(tmp_path / "turned.jpg", exif=exif)
    shown = images.read(tmp_path / "turned.jpg")
    assert shown.shape == (40, 20, 3)
    assert shown[5, 10, 0] > 200
    assert shown[35, 10, 2] > 200


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (images.read(tmp_path / "clear.png") == 255).all()
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "palette.png", transparency=1)
    assert (images.read(tmp_path / "palette.png") == 255).all()


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(tmp_path / "grey16.png")
    assert (images.read(tmp_path / "grey16.png") == 128).all()


def test_large_jpegs_come_smaller_and_true(tmp_path: Path, random: np.random.Generator) -> None:
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(coarse).resize((3200, 2400), Image.Resampling.BICUBIC))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(whole).save(tmp_path / "large.jpg", quality=95, exif=exif)
    shown = images.read(tmp_path / "large.jpg")
    assert shown.shape == (1600, 1200, 3)
    turned = Image.fromarray(np.rot90(whole, -1))
    expected = images.to_square([np.asarray(turned)], 64)
    assert np.abs(images.to_square([shown], 64).astype(int) - expected).mean() < 1.5
    assert images.read(tmp_path / "large.jpg", max_pixels=1_000_000).shape == (800, 600, 3)
    with pytest.raises(errors.ImageError, match="more than 0 million pixels"):
        images.read(tmp_path / "large.jpg", max_pixels=100_000)
    Image.fromarray(whole[:2000, :2000]).save(tmp_path / "below.jpg")
    assert images.read(tmp_path / "below.jpg").shape == (2000, 2000, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "CMYK", "YCbCr"])
def test_modes(mode: str) -> None:
    shown = images.read(Image.new("RGB", (9, 7), (200, 40, 40)).convert(mode))
    assert shown.shape == (7, 9, 3)
    assert shown.dtype == np.uint8


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert images.read(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def chunk_bomb(kind: bytes, before: bytes) -> bytes:
    """Return a PNG of one pixel with a compressed chunk of 50 MB."""
    packed = zlib.compressobj(9)
    data = before + b"".join(packed.compress(bytes(1_000_000)) for _ in range(50)) + packed.flush()
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    plain = png(1, 1, bytes(2))
    return plain[:33] + chunk + plain[33:]


HOSTILE = {
    "text-bomb.png": (chunk_bomb(b"zTXt", b"Comment\0\0"), "damaged"),
    "profile-bomb.png": (chunk_bomb(b"iCCP", b"p\0\0"), "damaged"),
    "short-header.png": (png(8, 8, b"")[:8] + b"\0\0\0\1IHDR\0" + struct.pack(">I", zlib.crc32(b"IHDR\0")), "damaged"),
    "text.jpg": (b"this is no picture", "not an image"),
    "empty.png": (b"", "not an image"),
    "page.html": (b"<html></html>", "not an image"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "cut.png": (png(64, 64, bytes(65 * 64))[:60], "damaged|not an image"),
    "cut.jpg": (jpeg(64)[:900], "damaged"),
    "huge.png": (png(20000, 20000, b""), "50 million pixels"),
    "large.png": (png(12000, 12000, b""), "50 million pixels"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.ImageError, match=message) as caught:
        images.read(tmp_path / name)
    assert str(caught.value).startswith(name)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_large_pictures_touch_no_threads_warnings(tmp_path: Path) -> None:
    """Pillow warns of 90 to 179 million pixels; whatever hides that for one thread must not hide others' warnings."""
    (tmp_path / "large.png").write_bytes(png(12_000, 12_000, b""))
    before = list(warnings.filters)

    def refuse(_: int) -> list[object]:
        with pytest.raises(errors.ImageError, match="50 million pixels"):
            images.read(tmp_path / "large.png")
        return list(warnings.filters)

    with ThreadPoolExecutor(4) as pool:
        assert all(filters == before for filters in pool.map(refuse, range(200)))


FOREIGN = {
    "generator": (lambda: (image for image in [np.zeros((8, 8, 3), np.uint8)]), r"type generator .*list\(images\)"),
    "tensor": (lambda: torch.zeros(3, 8, 8), r"type Tensor arrived: .*permute\(1, 2, 0\)\.numpy\(\)"),
    "tensors": (lambda: [torch.zeros(3, 8, 8)], r"type Tensor arrived"),
    "open file": (lambda: io.BytesIO(jpeg(8)), r"type BytesIO arrived: .*PIL\.Image\.open\(file\)"),
    "bytes": (lambda: jpeg(8), r"type bytes arrived: .*io\.BytesIO"),
    "None": (lambda: None, "None arrived: an image is a path"),
    "a None among images": (lambda: [np.zeros((8, 8, 3), np.uint8), None], "None arrived"),
    "number": (lambda: 7, "type int arrived"),
    "dict": (lambda: {"image": np.zeros((8, 8, 3), np.uint8)}, "type dict arrived"),
    "set": (lambda: {"a.png"}, r"type set arrived: .*list\(images\)"),
    "nested list": (lambda: [[np.zeros((8, 8, 3), np.uint8)]], "type list arrived: .*Lists don't nest"),
    "address": (lambda: "https://example.org/a.jpg", "no address is opened. Download the file first"),
    "null character": (lambda: "a\0.png", "can't be read: embedded null"),
    "long name": (lambda: "a" * 5000 + ".png", "can't be read: File name too long"),
    "grey array": (lambda: np.zeros((8, 8), np.uint8), r"array of uint8 \(8, 8\) arrived"),
    "float arrays": (lambda: np.zeros((2, 8, 8, 3)), r"array of float64 \(8, 8, 3\) arrived"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_image_is_named(kind: str) -> None:
    make, message = FOREIGN[kind]
    with pytest.raises(errors.ImageError, match=message):
        images.read_all(make())  # type: ignore[arg-type]


def test_nothing_is_taken_from_an_iterator() -> None:
    iterator = iter([np.zeros((8, 8, 3), np.uint8)] * 2)
    with pytest.raises(errors.ImageError, match="Make it a list first"):
        images.read_all(iterator)  # type: ignore[arg-type]
    assert len(list(iterator)) == 2


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(errors.ImageError, match="is a pipe"):
        images.read(tmp_path / "pipe.png")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.ImageError, match="no such file"):
        images.read(tmp_path / "none.jpg")
    with pytest.raises(errors.ImageError, match="is a folder"):
        images.read(tmp_path)


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8)],
)
def test_foreign_arrays(array: np.ndarray) -> None:
    with pytest.raises(errors.ImageError, match=r"uint8 \(height, width, 3\)"):
        images.read(array)


def test_to_square_keeps_the_centre_and_what_fits() -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 200
    square = images.to_square([wide], 32)
    assert square.shape == (1, 32, 32, 3)
    assert (square[0, :, 4:-4] == 200).all()
    np.testing.assert_array_equal(images.to_square(square, 32), square)
    assert images.to_square([], 32).shape == (0, 32, 32, 3)


def test_a_source_size_takes_detail_away_from_larger_pictures_alone(random: np.random.Generator) -> None:
    noise = random.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    reduced = Image.fromarray(noise).resize((32, 32), Image.Resampling.BILINEAR)
    expected = np.asarray(reduced.resize((72, 72), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(images.to_square([noise], 72, 32)[0], expected)
    wide = np.concatenate([noise[:, :50], noise, noise[:, :50]], 1)
    assert np.abs(images.to_square([wide], 72, 32)[0, :, 8:-8].astype(int) - expected[:, 8:-8]).max() < 4
    square = noise[:72, :72]
    np.testing.assert_array_equal(images.to_square([square], 72, 72)[0], square)
    small = noise[:40, :30]
    np.testing.assert_array_equal(images.to_square([small], 72, 32), images.to_square([small], 72))
    batch = np.stack([square, square])
    assert images.limit_detail(batch, None) is batch
    assert images.limit_detail(batch, 72) is batch
    np.testing.assert_array_equal(images.limit_detail(batch, 32), images.to_square(batch, 32, interpolation="bilinear"))


def test_find_leaves_out_what_is_hidden_or_no_image(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/c.png", ".hidden/d.png", ".e.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in images.find(tmp_path)] == ["a/c.png", "b.JPG"]
