"""Trees of image files: the cache, Tiny-ImageNet, SlimageNet64 and any folder."""

import errno
import json
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import smooth_image
from rrzoo import datasets, errors, files
from rrzoo.datasets import cache, imagenet
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.progress import WrapIterable

WNIDS = ("n01", "n02", "n03")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def write(path: Path, image: np.ndarray, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).convert(mode).save(path)


def write_tiny(root: Path, random: np.random.Generator) -> Path:
    """Write a Tiny-ImageNet of three classes, one of whose images is greyscale."""
    folder = root / "tiny-imagenet-200"
    for wnid in WNIDS:
        for number in range(4):
            mode = "L" if (wnid, number) == ("n02", 1) else "RGB"
            write(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", smooth_image(random, 64, 64), mode)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
    for number in range(5):
        write(folder / "val" / "images" / f"val_{number}.JPEG", smooth_image(random, 64, 64))
    lines = [f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t0\t9\t9\n" for number in range(5)]
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "words.txt").write_text("n00\tentity\nn01\tcrane, bird\nn02\tlemon\nn03\tcrane, machine\n")
    return folder


def test_tiny_imagenet(root: Path, random: np.random.Generator) -> None:
    folder = write_tiny(root, random)
    train, val = (datasets.load("tinyimagenet", split) for split in ("train", "val"))
    assert train.description == val.description == "Tiny-ImageNet"
    assert train.images.shape == (12, 64, 64, 3)
    assert train.require_labels().tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert val.require_labels().tolist() == [0, 1, 2, 0, 1]
    assert train.classes == val.classes == ("crane, bird", "lemon", "crane, machine")
    grey = train.images[5]
    assert (grey[..., 0] == grey[..., 1]).all()
    for row, name in ((5, "n02/images/n02_1"), (11, "n03/images/n03_3")):
        file = folder / "train" / f"{name}.JPEG"
        np.testing.assert_array_equal(train.images[row], np.asarray(Image.open(file).convert("RGB")))


def test_a_recoded_tiny_imagenet_says_so(root: Path, random: np.random.Generator) -> None:
    original = datasets.load("tinyimagenet", "val", write_tiny(root, random).parent)
    (root / "tiny-imagenet-200" / "train" / "n02" / "n02_boxes.txt").unlink()  # the copy has no boxes
    copy = datasets.load("tinyimagenet", "val")
    assert copy.description == "Tiny-ImageNet (re-coded copy)"
    assert copy.std != original.std
    assert np.allclose(copy.std, original.std, atol=0.01)


def test_near_duplicates_of_stl10_are_left_out(
    root: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny(root, random)
    whole = datasets.load("tinyimagenet")
    (folder / "train" / "n01" / "images" / "n01_3.JPEG").write_bytes(b"broken")
    monkeypatch.setattr(imagenet, "LEFT_OUT", frozenset({"n01_1.JPEG", "n03_0.JPEG", "val_0.JPEG", "n09_4.JPEG"}))
    train = datasets.load("tinyimagenet", skip_broken=True)
    left = [0, 2, 4, 5, 6, 7, 9, 10, 11]
    assert train.description == (
        "Tiny-ImageNet, 2 near-duplicates of STL-10's test images left out, 1 unreadable images left out"
    )
    assert train.require_labels().tolist() == [0] * 2 + [1] * 4 + [2] * 3
    assert (len(train), train.images.shape) == (9, (9, 64, 64, 3))
    np.testing.assert_array_equal(train.images[:], whole.images[left])
    np.testing.assert_array_equal(train.images[np.array([6, 1])], whole.images[np.array([9, 2])])
    np.testing.assert_array_equal(train.images[-1], whole.images[11])
    np.testing.assert_array_equal(np.stack(list(train.images)), whole.images[left])
    assert len(datasets.load("tinyimagenet", "val")) == 5  # all of them: nobody trains on these


def test_the_list_of_near_duplicates_names_training_images() -> None:
    assert CATALOGUE["tinyimagenet"].splits["train"] == 100_000 - len(imagenet.LEFT_OUT)
    assert len(imagenet.LEFT_OUT) > 200
    assert all(re.fullmatch(r"n\d{8}_\d{1,3}\.JPEG", name) for name in imagenet.LEFT_OUT)


TINY_DAMAGE = {
    "no val": (lambda f: (f / "val").rename(f / "other"), "val is not there: Tiny-ImageNet has it"),
    "no words": (lambda f: (f / "words.txt").unlink(), r"words\.txt is not there"),
    "a word less": (lambda f: (f / "words.txt").write_text("n01\tcrane\nn02\tlemon\n"), "has no words for n03"),
    "no annotations": (lambda f: (f / "val" / "val_annotations.txt").unlink(), "it holds the labels"),
    "unknown class": (
        lambda f: (f / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn09\n"),
        "line 1: 'n09' is none of the 3 classes",
    ),
    "an image less": (lambda f: (f / "val" / "images" / "val_3.JPEG").unlink(), r"val_3\.JPEG is only one of an"),
    "empty class": (lambda f: (f / "train" / "n04" / "images").mkdir(parents=True), r"n04/images holds no images"),
}


@pytest.mark.parametrize("damage", TINY_DAMAGE)
def test_a_damaged_tiny_imagenet(root: Path, random: np.random.Generator, damage: str) -> None:
    spoil, message = TINY_DAMAGE[damage]
    spoil(write_tiny(root, random))
    with pytest.raises(errors.DatasetError, match=message):
        datasets.load("tinyimagenet", "train" if damage == "empty class" else "val")


def test_slimagenet(root: Path, random: np.random.Generator) -> None:
    for place in ("train/c", "train/a", "val/b", "test/d", "test/a"):
        for number in range(2):
            write(root / "SlimageNet64" / place / f"{number}.png", smooth_image(random, 64, 64))
    for split, labels in {"train": [0, 0, 2, 2], "val": [1, 1], "test": [0, 0, 3, 3]}.items():
        loaded = datasets.load("slimagenet64", split)
        assert loaded.classes == ("a", "b", "c", "d")
        assert loaded.require_labels().tolist() == labels
    train = datasets.load("slimagenet64")
    np.testing.assert_allclose(loaded.mean, train.images[:].mean((0, 1, 2)) / 255, atol=1e-4)


def test_a_folder_of_mixed_sizes(tmp_path: Path, random: np.random.Generator) -> None:
    pictures = {f"{kind}/{i}.png": smooth_image(random, 20 + i, 40 - i) for kind in ("sea", "hills") for i in range(3)}
    for name, picture in pictures.items():
        write(tmp_path / "photos" / name, picture)
    loaded = datasets.load(f"dir:{tmp_path}/photos")
    assert (len(loaded), loaded.classes, loaded.require_labels().tolist()) == (6, ("hills", "sea"), [0, 0, 0, 1, 1, 1])
    expected = [pictures[f"{kind}/{i}.png"] for kind in ("hills", "sea") for i in range(3)]
    for found in (list(loaded.images), loaded.images[:], [loaded.images[i - 6] for i in range(6)]):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.images[np.array([4, 1])][0], expected[4])
    with pytest.raises(IndexError):
        loaded.images[6]
    with pytest.raises(errors.DatasetError, match="load them scaled to squares"):
        _ = loaded.images.shape
    square = datasets.load(f"dir:{tmp_path}/photos", size=16)
    assert square.images.shape == (6, 16, 16, 3)
    every = np.concatenate([picture.reshape(-1, 3) for picture in expected])
    np.testing.assert_allclose(loaded.mean, every.mean(0) / 255, atol=1e-4)


def test_a_folder_without_classes_and_one_with_splits(tmp_path: Path, random: np.random.Generator) -> None:
    for name in ("plain/a.png", "plain/b.png", "split/train/x/a.png", "split/train/y/a.png", "split/test/y/b.png"):
        write(tmp_path / name, smooth_image(random, 10, 10))
    assert datasets.load(f"dir:{tmp_path}/plain").labels is None
    assert datasets.splits(f"dir:{tmp_path}/plain") == ("train", "test", "all")
    name = f"dir:{tmp_path}/split"
    assert datasets.splits(name) == ("train", "test")
    assert datasets.test_split(name) == "test"
    test = datasets.load(name, "test")
    assert (test.classes, test.require_labels().tolist()) == (("x", "y"), [1])
    with pytest.raises(errors.DatasetError, match="is not a folder"):
        datasets.load(f"dir:{tmp_path}/none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.DatasetError, match="holds no images"):
        datasets.load(f"dir:{tmp_path}/empty")


def png_bomb() -> bytes:
    """Return a small PNG that says it is 60,000 x 60,000 px."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b"")
    )


BROKEN = {
    "empty": (b"", "is not an image"),
    "a web page": (b"<html>", "is not an image"),
    "bomb": (png_bomb(), "more than 50 million pixels"),
    "cut short": (None, "damaged"),
    "another size": ("small", "it is 8 x 9 px, not 64 x 64"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_is_named_or_left_out(root: Path, random: np.random.Generator, kind: str) -> None:
    content, message = BROKEN[kind]
    path = write_tiny(root, random) / "train" / "n02" / "images" / "n02_2.JPEG"
    if content == "small":
        write(path, smooth_image(random, 9, 8))
    else:
        path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(errors.DatasetError, match=rf"n02_2\.JPEG: .*{message}.*--skip-broken"):
        datasets.load("tinyimagenet")
    for _ in range(2):  # decoded, then from the cache
        loaded = datasets.load("tinyimagenet", skip_broken=True)
        assert loaded.require_labels().tolist() == [0] * 4 + [1] * 3 + [2] * 4
        assert len(loaded.images) == 11
        assert [line.partition(":")[0] for line in loaded.skipped] == [str(path)]
        assert loaded.description == "Tiny-ImageNet, 1 unreadable images left out"
    with pytest.raises(errors.DatasetError, match=r"n02_2\.JPEG"):  # the cache does not hide it
        datasets.load("tinyimagenet")


def test_all_images_broken(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    with pytest.raises(errors.DatasetError, match="none of the 1 images"):
        datasets.load(f"dir:{tmp_path}/photos", skip_broken=True)


def counting(seen: list[Path]) -> WrapIterable:
    def progress(files: Iterable[Path], count: int) -> Iterable[Path]:
        assert count > 0
        for file in files:
            seen.append(file)
            yield file

    return progress


def entries() -> list[Path]:
    return sorted(datasets.cache_root().iterdir())


def test_files_are_decoded_once_and_again_when_one_changes(tmp_path: Path, random: np.random.Generator) -> None:
    photos = tmp_path / "photos"
    for number in range(3):
        write(photos / f"{number}.png", smooth_image(random, 10, 10))
    seen: list[Path] = []

    def load() -> np.ndarray:
        return datasets.load(f"dir:{photos}", progress=counting(seen)).images[:]

    first = load()
    assert len(seen) == 3
    np.testing.assert_array_equal(load(), first)
    assert len(seen) == 3
    before = (photos / "1.png").stat()
    other = smooth_image(random, 10, 10)
    Image.fromarray(other).save(photos / "1.png")
    os.utime(photos / "1.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    np.testing.assert_array_equal(load()[1], other)
    assert len(seen) == 6
    assert len(entries()) == 1  # what was superseded is removed
    write(photos / "3.png", smooth_image(random, 10, 10))
    assert len(load()) == 4
    (photos / "0.png").unlink()
    assert len(load()) == 3


@pytest.mark.parametrize("spoil", ["pixels", "entry", "no pixels"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, random: np.random.Generator, spoil: str) -> None:
    write(tmp_path / "photos" / "0.png", smooth_image(random, 10, 10))
    expected = datasets.load(f"dir:{tmp_path}/photos").images[:]
    (entry,) = entries()
    if spoil == "pixels":
        (entry / cache.PIXELS).write_bytes(b"123")
    elif spoil == "entry":
        (entry / cache.ENTRY).write_text('{"sizes": ')
    else:
        (entry / cache.PIXELS).unlink()
    np.testing.assert_array_equal(datasets.load(f"dir:{tmp_path}/photos").images[:], expected)


BUILD = """
import sys, time
from rrzoo import datasets
def slow(files, count):
    for file in files:
        print("decoding", flush=True)
        time.sleep(float(sys.argv[2]))
        yield file
print(datasets.load(f"dir:{sys.argv[1]}", progress=slow).images[:].sum(), flush=True)
"""


def start(photos: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(photos), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_build_leaves_no_entry(tmp_path: Path, random: np.random.Generator) -> None:
    for number in range(3):
        write(tmp_path / "photos" / f"{number}.png", smooth_image(random, 10, 10))
    process = start(tmp_path / "photos", 30)
    assert process.stdout is not None
    assert process.stdout.readline() == "decoding\n"
    process.kill()
    process.wait()
    (unfinished,) = entries()
    assert unfinished.name.startswith(".unfinished-")
    assert len(datasets.load(f"dir:{tmp_path}/photos")) == 3
    assert unfinished not in entries()


def test_what_another_process_decodes_stays(tmp_path: Path, random: np.random.Generator) -> None:
    for name in ("some", "others"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", smooth_image(random, 10, 10))
    process = start(tmp_path / "some", 1)
    assert process.stdout is not None
    assert process.stdout.readline() == "decoding\n"
    (unfinished,) = entries()
    datasets.load(f"dir:{tmp_path}/others")
    assert unfinished in entries()
    assert process.wait(60) == 0
    assert len(entries()) == 2


def test_two_builds_at_once(tmp_path: Path, random: np.random.Generator) -> None:
    for number in range(5):
        write(tmp_path / "photos" / f"{number}.png", smooth_image(random, 10, 10))
    both = threading.Barrier(2, timeout=30)  # seconds

    def wait(files: Iterable[Path], count: int) -> Iterable[Path]:
        for file in files:
            both.wait()
            yield file

    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(datasets.load, f"dir:{tmp_path}/photos", progress=wait) for _ in range(2)]
    expected = datasets.load(f"dir:{tmp_path}/photos").images[:]
    for build in builds:
        np.testing.assert_array_equal(build.result().images[:], expected)
    assert len(entries()) == 1


def test_no_room_for_the_cache(tmp_path: Path, random: np.random.Generator) -> None:
    write(tmp_path / "photos" / "0.png", smooth_image(random, 400, 400))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # bytes of a file
    try:
        with pytest.raises(errors.DatasetError, match=rf"can't be kept in .*{os.strerror(errno.EFBIG)}.*\$RRZOO_CACHE"):
            datasets.load(f"dir:{tmp_path}/photos")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert entries() == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "photos" / "0.png", np.zeros((4, 4, 3), np.uint8))
    for problem in (errno.EROFS, errno.EACCES, errno.ENOSPC):  # root may write anywhere: the system's answer is played

        def refuse(*_: object, code: int = problem, **__: object) -> str:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
        with pytest.raises(errors.DatasetError, match=rf"{os.strerror(problem)}.*\$RRZOO_CACHE"):
            datasets.load(f"dir:{tmp_path}/photos")
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RRZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(errors.DatasetError, match="Not a directory"):
        datasets.load(f"dir:{tmp_path}/photos")


def test_a_cache_that_is_read_only_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "photos" / "0.png", np.zeros((4, 4, 3), np.uint8))
    datasets.load(f"dir:{tmp_path}/photos")
    monkeypatch.setattr(cache, "_build", lambda *_: pytest.fail("built again"))
    assert len(datasets.load(f"dir:{tmp_path}/photos")) == 1


def test_entries_say_what_they_are_of(tmp_path: Path, random: np.random.Generator) -> None:
    write(tmp_path / "photos" / "0.png", smooth_image(random, 4, 4))
    datasets.load(f"dir:{tmp_path}/photos")
    (entry,) = entries()
    assert json.loads((entry / cache.ENTRY).read_text())["folder"] == str(tmp_path / "photos")
