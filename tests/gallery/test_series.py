"""Series: frames of a burst, and screenshots in a row, are told from copies by when they were taken."""

from collections.abc import Callable
from pathlib import Path

import gradio
import numpy as np
import pytest
from PIL import ExifTags, Image

import rrzoo
from conftest import Outcome
from rrzoo.gallery.duplicates.moments import moments


def save(picture: Image.Image, path: Path, time: object = None, fraction: object = None) -> Path:
    """Write a JPEG whose EXIF says when it was taken."""
    exif = Image.Exif()
    inside = exif.get_ifd(ExifTags.IFD.Exif)
    if time is not None:
        inside[ExifTags.Base.DateTimeOriginal] = time
    if fraction is not None:
        inside[ExifTags.Base.SubsecTimeOriginal] = fraction
    picture.save(path, quality=90, exif=exif)
    return path


@pytest.fixture(scope="module")
def lion() -> Image.Image:
    (path,) = Path(gradio.__file__).parent.rglob("lion.jpg")
    return Image.open(path).convert("RGB")


def test_a_burst_is_a_series_and_copies_of_one_frame_are_copies(
    lion: Image.Image, tmp_path: Path, run_command: Callable[..., Outcome]
) -> None:
    folder = tmp_path / "burst"
    folder.mkdir()
    width, height = lion.size
    for number in range(3):  # the camera moves a little
        frame = lion.crop((number * 8, number * 4, width - 30 + number * 8, height - 20 + number * 4))
        save(frame, folder / f"frame{number}.jpg", "2026:11:29 21:36:34", f"{number}5")
        if number == 1:
            frame.resize((width // 3, height // 3)).save(folder / "frame1-sent.jpg", quality=60)
    gallery = rrzoo.Gallery.build(rrzoo.load("lite0-stl10"), folder)
    copies, series = gallery.duplicates(folder=folder)
    assert not copies.series
    assert copies.title == "2 pictures"
    assert [copy.source for copy in copies.copies] == ["frame1.jpg", "frame1-sent.jpg"]
    assert series.series
    assert series.title == "a series, 3 moments"
    assert {copy.source for copy in series.copies} == {"frame0.jpg", "frame1.jpg", "frame2.jpg"}
    without = gallery.duplicates()  # no file says when: all are alike
    assert [(len(group.copies), group.series) for group in without] == [(4, False)]
    links = tmp_path / "links"
    lines = run_command("duplicates", folder, "--links", links).out.splitlines()
    assert lines[3] == "2: a series, 3 moments"
    assert sum("keep" in line for line in lines) == 1
    assert lines[-1].endswith(" 1 groups of copies, 1 beside the best of each, 1 series; nothing was deleted")
    assert sorted(path.name for path in links.iterdir()) == ["0001", "0002-series"]


def test_the_name_tells_where_no_camera_does(lion: Image.Image, tmp_path: Path) -> None:
    named = ("Screenshot 2026-11-29 at 21.36.34.png", "Screenshot_20261129-213639.png", "IMG_20261129_213634 (1).jpg")
    paths = [save(lion, (tmp_path / name).with_suffix(".jpg")) for name in (*named, "IMG-20261129-WA0001.jpg")]
    unit = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    first, second = "2026-11-29 21:36:34", "2026-11-29 21:36:39"
    assert moments(paths, unit) == [first, second, first, second]  # the last one is like the second


def test_who_lost_the_camera_s_time_is_of_the_picture_of_its_name_or_of_the_likest(
    lion: Image.Image, tmp_path: Path
) -> None:
    paths = [
        save(lion, tmp_path / "IMG_20261129_203634.jpg", "2026:11:29 21:36:34", "10"),  # its name is in UTC
        save(lion, tmp_path / "b.jpg", "2026:11:29 21:36:34", "90"),
        save(lion, tmp_path / "IMG_20261129_203634-edited.jpg"),
        save(lion, tmp_path / "no-fraction.jpg", "2026:11:29 21:36:34"),
        save(lion, tmp_path / "nothing.jpg"),
    ]
    unit = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [1, 0]], np.float32)
    first, second = "2026-11-29 21:36:34.10", "2026-11-29 21:36:34.90"
    assert moments(paths, unit) == [first, second, first, second, first]


@pytest.mark.parametrize("time", ["", "0000:00:00", "yesterday", 7, b"\xff\x00"])
def test_nonsense_says_nothing(lion: Image.Image, tmp_path: Path, time: object) -> None:
    (tmp_path / "gone").mkdir()
    paths = [save(lion, tmp_path / "a.jpg", time), tmp_path / "gone" / "b.jpg", tmp_path / "c.jpg"]
    paths[2].write_bytes(b"\xff\xd8 no picture")
    assert moments(paths, np.eye(3, dtype=np.float32)) == ["", "", ""]
