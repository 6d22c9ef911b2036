"""Every folder that people have: nothing in it stops an index, and nothing known of it is lost or mixed up."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import smooth_image
from rrzoo import errors, images, zoo
from rrzoo.__main__ import main

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, random: np.random.Generator) -> Save:
    """Return what writes a picture of its own at a path within `photos`."""

    def write(name: str | bytes, side: int = 60) -> Path:
        path = tmp_path / "photos" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(random, side, side)).save(path, "PNG")
        return path

    return write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


ODD = ("a\nb.png", "-k.png", "\x1b[31mred.png", b"caf\xe9.png", b"\xff/in.png", "日本.png", "\u202egnp.png")


def test_names_of_any_kind_are_stored_found_and_printed(
    model: rrzoo.Model, photos: Path, save: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [save(name) for name in ODD]
    main(["index", str(photos), "--model", model.name])
    gallery = zoo.open_gallery(model, "photos")
    assert {photos / source for source in gallery.sources} == set(paths)
    assert gallery.classes == ("\\xff",)
    for path in paths:
        ((hit, *_),) = gallery.search(path)
        assert photos / hit.source == path
    main(["index", str(photos), "--model", model.name])
    assert "(0 read" in capsys.readouterr().out
    main(["search", str(paths[0]), "--model", model.name, "--gallery", "photos"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(ODD)
    assert lines[1].endswith("  a\\nb.png")
    assert all(line.isprintable() for line in lines)


def test_a_broken_file_of_any_name_is_one_line(
    model: rrzoo.Model, photos: Path, save: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    save("whole.png")
    save(b"two\nlines\x1b[2J\xe9.png").write_bytes(b"broken")
    main(["index", str(photos), "--model", model.name])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "is not an image" in line]
    assert "two\\nlines\\x1b[2J\\udce9.png: " in line
    with pytest.raises(SystemExit, match="2"):
        main(["index", str(photos), "--model", model.name, "--strict"])
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
def test_a_terminal_that_knows_ascii_alone(model: rrzoo.Model, photos: Path, save: Save) -> None:
    path = save("日本.png")
    save(b"caf\xe9.png")
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for arguments in (["index", photos], ["search", path, "--gallery", photos]):
        command = [sys.executable, "-m", "rrzoo", *arguments, "--model", "conv4-cifar10"]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
        done.stdout.decode("ascii")


def unreadable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let folders of some names refuse to be listed, as without permission: tests may run as root."""
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if not isinstance(path, int) and Path(path).name in names:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_folder_that_can_not_be_read_loses_nothing(
    model: rrzoo.Model, photos: Path, save: Save, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a/1.png", "b/1.png", "b/deep/2.png", "c.png"):
        save(name)
    before = rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved")
    gone = photos / "c.png"
    gone.unlink()
    save("a/new.png")
    with monkeypatch.context() as patch:
        unreadable(patch, "b")
        found = rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved")
        assert list(found.sources) == ["a/1.png", "a/new.png", "b/1.png", "b/deep/2.png"]
        assert found.classes == ("a", "b")
        assert found.notes == ("b can't be read (Permission denied): the 2 pictures known of it are kept",)
        fresh = rrzoo.Gallery.build(model, photos)
        assert fresh.notes == ("b can't be read (Permission denied)",)
    np.testing.assert_allclose(found.features()[2], before.features()[1], rtol=2e-3, atol=1e-3)
    (photos / "b" / "1.png").unlink()
    assert "b/1.png" not in rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved").sources


def test_an_empty_folder_may_be_a_drive_that_is_off(
    model: rrzoo.Model, photos: Path, save: Save, tmp_path: Path
) -> None:
    save("a.png")
    save("drive/b.png").unlink()
    assert rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved").notes == ()
    (tmp_path / "elsewhere").mkdir()
    (photos / "link").symlink_to(tmp_path / "elsewhere")
    for within in ("drive", "link"):
        save(f"{within}/b.png")
    rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved")
    (photos / "drive" / "b.png").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "off")
    found = rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved")
    assert list(found.sources) == ["a.png", "drive/b.png", "link/b.png"]
    assert [note.partition(":")[0] for note in found.notes] == [
        "link can't be read (No such file or directory)",
        "drive is empty, as if a drive were off",
    ]
    (photos / "drive").rmdir()
    (photos / "link").unlink()
    assert list(rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved").sources) == ["a.png"]


def test_links_are_followed_once(photos: Path, save: Save, tmp_path: Path) -> None:
    save("a/1.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    save("a/2.png").rename(outside / "2.png")
    for link, target in (("0", photos / "a"), ("loop", photos), ("a/up", tmp_path), ("other", outside)):
        (photos / link).symlink_to(target)
    (photos / "self").symlink_to("self")
    found = images.walk(photos)
    assert [path for path, *_ in found.files] == ["a/1.png", "a/up/outside/2.png"]
    assert found.links == ["0", "loop", "other"]
    assert list(found.unreadable) == ["self"]


def test_what_is_left_out(model: rrzoo.Model, photos: Path, save: Save) -> None:
    for name in ("a.png", "@eaDir/a.png", ".thumbnails/a.png", "._a.png", "__MACOSX/a.png", "$RECYCLE.BIN/a.png"):
        save(name)
    for name in ("Thumbs.db", "b.mov", "c.MOV", "notes.txt", "README"):
        (photos / name).write_bytes(b"x")
    gallery = rrzoo.Gallery.build(model, photos)
    assert list(gallery.sources) == ["a.png"]
    assert gallery.notes == ("4 files are ignored for their type: 2 .mov, 1 without a suffix, 1 .txt",)


def test_exclude(photos: Path, save: Save) -> None:
    for name in ("a.png", "raw/b.png", "c/raw/d.png", "c/d.gif", "c/e/f.png"):
        save(name)
    found = [path for path, *_ in images.walk(photos, ("raw", "*.gif", "c/e/")).files]
    assert found == ["a.png"]


@pytest.mark.parametrize("seconds", [-5_000_000_000, 20_000_000_000])
def test_files_of_any_time(model: rrzoo.Model, photos: Path, save: Save, tmp_path: Path, seconds: int) -> None:
    path = save("a.png")
    with pytest.MonkeyPatch.context() as patch:  # not all file systems keep such times
        found = images.Found(files=[("a.png", path.stat().st_size, seconds * 1_000_000_000)])
        patch.setattr(images, "walk", lambda *_: found)
        rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved")
        seen: list[tuple[int, int]] = []
        rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved", lambda *done: seen.append(done))
    assert seen == [(1, 1)]


def test_a_jpeg_without_its_end_is_taken_and_noted(
    model: rrzoo.Model, photos: Path, save: Save, random: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    save("a.png")
    file = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(file, "JPEG")
    (photos / "cut.jpg").write_bytes(file.getvalue()[: int(len(file.getvalue()) * 0.95)])
    main(["index", str(photos), "--model", model.name])
    printed = capsys.readouterr().out
    assert "2 images of" in printed
    assert "  cut.jpg lacks its end" in printed


def test_two_folders_of_one_name_have_a_gallery_each(
    model: rrzoo.Model, tmp_path: Path, random: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / year / "holiday" for year in ("2023", "2024")]
    for folder in folders:  # pictures of equal name, size and time
        folder.mkdir(parents=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / "a.bmp")
        os.utime(folder / "a.bmp", ns=(10**18, 10**18))
    for _ in range(2):
        for folder in folders:
            main(["index", str(folder), "--model", model.name])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("search it with")]
    first, second = (line.split()[-1] for line in lines[:2])
    assert lines[2:] == lines[:2]
    assert first == "holiday"
    assert second.startswith("holiday-")
    for name, folder in zip((first, second), folders, strict=True):
        ((hit,),) = zoo.open_gallery(model, name).search(folder / "a.bmp")
        assert hit.score == pytest.approx(1, abs=1e-5)

    main(["index", "--list"])
    listed = capsys.readouterr().out
    assert f"holiday  {model.name}  1 images  {folders[0].resolve()}\n" in listed
    assert f"{second}  {model.name}  1 images  {folders[1].resolve()}\n" in listed
    main(["index", "--remove", "holiday", "--model", model.name])
    assert (folders[0] / "a.bmp").exists()
    main(["index", str(folders[1]), "--model", model.name])  # keeps its name
    assert "(0 read" in capsys.readouterr().out
    main(["index", "--list", "--model", model.name])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [second]
    for wrong in ("holiday", "..", f"../{model.name}", ""):
        with pytest.raises(SystemExit, match="2"):
            main(["index", "--remove", wrong, "--model", model.name])
    assert zoo.open_gallery(model, second)


def test_a_gallery_belongs_to_one_folder(model: rrzoo.Model, photos: Path, save: Save, tmp_path: Path) -> None:
    save("a/1.png")
    save("b/1.png")
    rrzoo.Gallery.index_folder(model, photos / "a", tmp_path / "saved")
    with pytest.raises(errors.GalleryError, match=r"holds the gallery of .*/a, not of .*/b: name another folder"):
        rrzoo.Gallery.index_folder(model, photos / "b", tmp_path / "saved")
    (tmp_path / "link").symlink_to(photos / "a")
    assert len(rrzoo.Gallery.index_folder(model, tmp_path / "link", tmp_path / "saved")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index"], "nothing to index was named"),
        (["index", "clay10", "--exclude", "x", "--model", "conv4-cifar10"], "--exclude takes files out of a folder"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err
