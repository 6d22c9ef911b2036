"""Every kind of picture that people have, in files made by Pillow and pillow-heif."""

import contextlib
import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import smooth_image
from rrzoo import errors, images

ORIENTATION, TURNED = 0x0112, 6


@pytest.fixture
def picture(random: np.random.Generator) -> Image.Image:
    return Image.fromarray(smooth_image(random, 90, 120))


def close(path: Path, expected: Image.Image, within: float = 3.0) -> None:
    difference = images.read(path).astype(int) - np.asarray(expected.convert("RGB"))
    assert np.abs(difference).mean() < within


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "JPEG"),
        ("a.jpe", "JPEG"),
        ("a.avif", "AVIF"),
        ("phone.jpg", "MPO"),
        ("a.mpo", "MPO"),
        ("lies.jpg", "PNG"),
        ("lies.png", "JPEG"),
        ("lies.heic", "AVIF"),
    ],
)
def test_the_content_says_what_a_file_is(tmp_path: Path, picture: Image.Image, name: str, kind: str) -> None:
    more = {"save_all": True, "append_images": [picture.rotate(180)]} if kind == "MPO" else {}
    picture.save(tmp_path / name, kind, **more)
    assert [path.name for path in images.find(tmp_path)] == [name]
    close(tmp_path / name, picture)


def test_large_mpo_is_decoded_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (6000, 4000), "teal").save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))]
    )
    assert images.read(tmp_path / "a.jpg", 16_000_000).shape == (2000, 3000, 3)


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "lies.jpg"])
def test_heic(tmp_path: Path, picture: Image.Image, name: str) -> None:
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    heif.from_pillow(picture).save(tmp_path / name, quality=95, exif=exif.tobytes())
    close(tmp_path / name, picture.transpose(Image.Transpose.ROTATE_270))
    assert "HEIF" not in Image.OPEN  # nothing is registered for the rest of the process


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(errors.ImageError, match=r"^a\.heic is HEIC, .*pip install 'rrzoo\[heif\]'$"):
        images.read(tmp_path / "a.heic")


def test_damaged_heic(tmp_path: Path, picture: Image.Image) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(picture).save(tmp_path / "a.heic")
    whole = (tmp_path / "a.heic").read_bytes()
    for end in range(8, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "a.heic").write_bytes(whole[:end])
        with pytest.raises(errors.ImageError, match=r"^a\.heic "):
            images.read(tmp_path / "a.heic")


def profile(*primaries: tuple[float, float, float]) -> bytes:
    """Return an ICC profile, version 2, of three primaries (XYZ under D50) and a gamma of 2.2."""

    def fixed(*numbers: float) -> bytes:
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(2.2 * 256))
    entries = {b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        entries[bytes([letter]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*primary)
        entries[bytes([letter]) + b"TRC"] = curve
    table, data = struct.pack(">I", len(entries)), b""
    for name, entry in entries.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(entries) + len(data), len(entry))
        data += entry
    length = struct.pack(">I", 128 + len(table) + len(data))
    head = length + bytes(4) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + data


RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)  # sRGB's, under D50
P3 = (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)


def p3_to_srgb(pixels: np.ndarray) -> np.ndarray:
    """Convert slowly, by the definition: curve, matrix, inverse matrix, inverse curve."""
    light = (pixels / 255.0) ** 2.2 @ np.array(P3) @ np.linalg.inv(np.array([RED, GREEN, BLUE]))
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colours_of_a_profile_become_srgb(tmp_path: Path, random: np.random.Generator, kind: str) -> None:
    pixels = random.integers(40, 256, (20, 30, 3), dtype=np.uint8)
    how = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(pixels).save(tmp_path / "a", kind, icc_profile=profile(*P3), **how)
    shown = images.read(tmp_path / "a")
    assert np.abs(shown - p3_to_srgb(pixels)).max() < 4
    assert np.abs(shown.astype(int) - pixels).max() > 20


def test_an_srgb_profile_changes_nothing_and_a_broken_one_neither(tmp_path: Path, picture: Image.Image) -> None:
    from PIL import ImageCms

    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for broken in (plain, b"", b"x", b"\0" * 200, profile(RED, GREEN, BLUE)[:140]):
        picture.save(tmp_path / "a.png", icc_profile=broken)
        np.testing.assert_array_equal(images.read(tmp_path / "a.png"), np.asarray(picture))
    picture.convert("L").save(tmp_path / "grey.png", icc_profile=profile(*P3))  # of other pixels
    np.testing.assert_array_equal(images.read(tmp_path / "grey.png")[..., 0], np.asarray(picture.convert("L")))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 255.0), (-3.0, 90_000.0), (0.0, 0.4)])
def test_floats_are_scaled(tmp_path: Path, low: float, high: float) -> None:
    ramp = np.linspace(low, high, 256, dtype=np.float32)[None].repeat(8, 0)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    shown = images.read(tmp_path / "a.tif")[0, :, 0]
    assert shown[0] == 0
    assert abs(int(shown[-1]) - (102 if high == 0.4 else 255)) <= 1
    assert (np.diff(shown.astype(int)) >= 0).all()


@pytest.mark.parametrize("value", [7.0, np.nan, np.inf, -1.0, 0.0])
def test_floats_of_one_value_are_refused(tmp_path: Path, value: float) -> None:
    Image.fromarray(np.full((8, 8), value, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(errors.ImageError, match="floating-point numbers that make no picture"):
        images.read(tmp_path / "a.tif")


def test_damaged_exif_is_ignored(tmp_path: Path, picture: Image.Image, random: np.random.Generator) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    exif[0x011A] = 72.0  # resolution
    exif[0x9003] = "2020:01:01 00:00:00"
    whole = exif.tobytes()
    for _ in range(200):
        damaged = bytearray(whole)
        for place in random.integers(6, len(damaged), 4):
            damaged[place] = random.integers(256)
        picture.save(tmp_path / "a.jpg", exif=bytes(damaged))
        assert min(images.read(tmp_path / "a.jpg").shape[:2]) == 90
    huge = whole.replace(struct.pack(">HHI", 0x0112, 3, 1), struct.pack(">HHI", 0x0112, 4, 0x7FFFFFFF))
    picture.save(tmp_path / "a.jpg", exif=huge)
    assert images.read(tmp_path / "a.jpg").shape == (90, 120, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_orientation(tmp_path: Path, picture: Image.Image, mode: str) -> None:
    from PIL import ImageOps

    for number in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = number
        picture.convert(mode).save(tmp_path / "a.tif", exif=exif)
        with Image.open(tmp_path / "a.tif") as opened:
            expected = ImageOps.exif_transpose(opened).convert("RGB")
        np.testing.assert_array_equal(images.read(tmp_path / "a.tif"), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end(tmp_path: Path, random: np.random.Generator, mode: str) -> None:
    file = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (800, 640, 3), dtype=np.uint8)).convert(mode).save(file, "JPEG")
    path, content = tmp_path / "a.jpg", file.getvalue()
    path.write_bytes(content)
    whole = images.read(path)
    path.write_bytes(content[: int(0.94 * len(content))])
    notes: list[str] = []
    shown = images.read(path, notes=notes)
    np.testing.assert_array_equal(shown[:700], whole[:700])
    assert notes == [notes[0]]
    assert notes[0].startswith("a.jpg lacks its end: the last ")
    with pytest.warns(UserWarning, match="lacks its end"):
        images.read(path)
    path.write_bytes(content[: int(0.85 * len(content))])
    with pytest.raises(errors.ImageError, match=r"only the first 8[4-6]% of it are there"):
        images.read(path, notes=notes)
    assert len(notes) == 1


def striped(width: int, height: int, **how: object) -> bytes:
    """Return a large JPEG that is small as a file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(file, "JPEG", **how)
    return file.getvalue()


@pytest.mark.slow
def test_a_jpeg_of_108_million_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(striped(12_000, 9_000))
    shown = images.read(tmp_path / "a.jpg")
    assert shown.shape == (1125, 1500, 3)
    assert np.abs(shown[::100, ::100].astype(int) - (200, 30, 30)).max() < 4
    (tmp_path / "b.jpg").write_bytes(striped(12_000, 9_000, progressive=True))
    with pytest.raises(errors.ImageError, match="more than 50 million pixels"):
        images.read(tmp_path / "b.jpg")


def test_a_jpeg_of_too_many_pixels(tmp_path: Path) -> None:
    content = striped(16, 16)
    size = struct.pack(">HH", 16, 16)
    place = content.index(b"\xff\xc0") + 5
    assert content[place : place + 4] == size

    def changed(side: int) -> bytes:
        return content[:place] + struct.pack(">HH", side, side) + content[place + 4 :]

    (tmp_path / "a.jpg").write_bytes(changed(60_000))
    with pytest.raises(errors.ImageError, match="more than 200 million pixels"):
        images.read(tmp_path / "a.jpg")
    several = changed(10_000)
    scan = several.index(b"\xff\xda")
    one = several[: scan + 2] + b"\x00\x08\x01\x01\x00\x00\x3f\x00" + several[scan + 14 :]  # a scan of one colour
    (tmp_path / "a.jpg").write_bytes(one)
    with pytest.raises(errors.ImageError, match="more than 50 million pixels"):
        images.read(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF"])
def test_damaged_bytes_never_end_in_another_error(
    tmp_path: Path, picture: Image.Image, random: np.random.Generator, kind: str
) -> None:
    file = io.BytesIO()
    picture.save(file, kind)
    for _ in range(60):
        damaged = bytearray(file.getvalue())
        for place in random.integers(4, len(damaged), 5):
            damaged[place] = random.integers(256)
        (tmp_path / "a").write_bytes(damaged)
        with contextlib.suppress(errors.ImageError):
            assert images.read(tmp_path / "a", notes=[]).ndim == 3
