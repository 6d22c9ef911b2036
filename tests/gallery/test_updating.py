"""A gallery that is brought up to date: as if it were built anew, with little written, and whole whenever that ends."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_storage import MODEL, KilledError, Mortal, flip_byte, images_in

import rrzoo
from conftest import smooth_image
from rrzoo import errors, files
from rrzoo.gallery import folders, kept, storage, updating, writing
from rrzoo.gallery.backends import partitioned

QUERY = smooth_image(np.random.default_rng(7), 9, 12)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments of more than two rows stay."""
    monkeypatch.setattr(writing, "SMALL", 2)


class Folder:
    """Pictures that come, change and go, and their gallery."""

    def __init__(self, top: Path, random: np.random.Generator) -> None:
        self.pictures, self.saved, self.random, self.time = top / "pictures", top / "saved", random, 10**18

    def put(self, *sources: str) -> None:
        """Add pictures, or change them."""
        for source in sources:
            path = self.pictures / source
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(smooth_image(self.random, 9, 12)).save(path)
            self.time += 10**9
            os.utime(path, ns=(self.time, self.time))

    def index(self) -> rrzoo.Gallery:
        return rrzoo.Gallery.index_folder(MODEL, self.pictures, self.saved)

    def segments(self) -> list[int]:
        """Return the rows of each segment."""
        return [one["rows"] for one in json.loads((self.saved / "manifest.json").read_text())["segments"]]


@pytest.fixture
def folder(tmp_path: Path, random: np.random.Generator) -> Folder:
    """Twenty pictures, of which a gallery was made."""
    made = Folder(tmp_path, random)
    made.put(*(f"{'sea' if number % 2 else 'hill'}/{number:02}.png" for number in range(20)))
    made.index()
    return made


def described(gallery: rrzoo.Gallery) -> dict[str, tuple[object, ...]]:
    """Return all that a gallery knows of each picture."""
    features = gallery.features()
    return {
        source: (
            gallery.classes[gallery.labels[row]] if gallery.labels[row] >= 0 else None,
            features[row].round(1).tolist(),
            gallery.thumbnail(row).tobytes(),
        )
        for row, source in enumerate(gallery.sources)
    }


def same_as_anew(folder: Folder, gallery: rrzoo.Gallery) -> None:
    """Check that a gallery, on disk as well, is what would be built of the folder now."""
    anew = rrzoo.Gallery.build(MODEL, folder.pictures)
    for one in (gallery, rrzoo.Gallery.load(MODEL, folder.saved)):
        assert len(one) == len(anew)
        assert one.classes == anew.classes
        assert described(one).keys() == described(anew).keys()
        for source, (label, features, thumbnail) in described(anew).items():
            found = described(one)[source]
            assert (found[0], found[2]) == (label, thumbnail)
            np.testing.assert_allclose(found[1], features, rtol=2e-3, atol=0.11)  # float16, rounded
        (hits,), (expected,) = one.search([QUERY], 5), anew.search([QUERY], 5)
        np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in expected], atol=1e-3)
        assert sorted(hit.source for hit in one.search([QUERY], 500)[0]) == sorted(anew.sources)  # none twice
    storage.check(folder.saved)


def test_what_is_new_is_one_more_segment(folder: Folder) -> None:
    before = {path.name: path.stat().st_ino for path in folder.saved.iterdir()}
    folder.put("hill/97.png", "hill/98.png", "sea/99.png")
    same_as_anew(folder, folder.index())
    assert folder.segments() == [20, 3]
    for name, number in before.items():
        assert name == "manifest.json" or (folder.saved / name).stat().st_ino == number
    folder.put("hill/a.png", "hill/c.png")
    same_as_anew(folder, folder.index())
    assert folder.segments() == [20, 5]  # the small one was written again, with what is new
    folder.put(*(f"hill/b{number}.png" for number in range(15)))
    same_as_anew(folder, folder.index())
    assert folder.segments() == [40]
    assert list(folder.index().sources) == list(rrzoo.Gallery.build(MODEL, folder.pictures).sources)


def test_what_is_gone_or_another_is_no_more_there(folder: Folder) -> None:
    (folder.pictures / "hill" / "04.png").unlink()
    same_as_anew(folder, folder.index())
    assert folder.segments() == [20]
    folder.put("sea/05.png", "x.png", "sea/07.png")
    same_as_anew(folder, folder.index())
    assert folder.segments() == [20, 3]
    for number in range(8, 20):
        next(folder.pictures.glob(f"*/{number:02}.png")).unlink()
    same_as_anew(folder, folder.index())
    assert folder.segments() == [8]  # more than half of the first one was gone


def test_labels_that_come_and_go(folder: Folder) -> None:
    folder.put("a first/1.png", "a first/2.png", "lake/3.png")  # others' numbers change
    same_as_anew(folder, folder.index())
    assert folder.segments() == [20, 3]
    for path in (folder.pictures / "lake").iterdir():
        path.unlink()
    (folder.pictures / "lake").rmdir()
    gallery = folder.index()
    assert gallery.classes == ("a first", "hill", "sea")
    same_as_anew(folder, gallery)


def test_a_gallery_of_format_3_is_added_to(folder: Folder) -> None:
    path = folder.saved / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["segments"]
    path.write_text(json.dumps(manifest | {"format": 3}))
    folder.put("hill/97.png", "hill/98.png", "sea/99.png")
    same_as_anew(folder, folder.index())
    assert folder.segments() == [20, 3]


def test_nothing_new_writes_nothing(folder: Folder) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.saved.iterdir()}
    folder.index()
    assert {path.name: path.stat().st_mtime_ns for path in folder.saved.iterdir()} == before


@pytest.mark.parametrize("seed", range(3))
def test_many_changes(folder: Folder, seed: int) -> None:
    shuffle = np.random.default_rng(seed)
    for step in range(8):
        known = sorted(folder.pictures.rglob("*.png"))
        for path in shuffle.permutation(len(known))[: shuffle.integers(0, 4)].tolist():
            known[path].unlink()
        for number in range(int(shuffle.integers(0, 6))):
            folder.put(f"{shuffle.choice(['sea', 'lake', 'moor'])}/{step}-{number}.png")
        same_as_anew(folder, folder.index())
        assert sum(folder.segments()) <= 2 * len(folder.index())
        assert len(folder.segments()) <= 5


@pytest.mark.parametrize("failure", [KilledError, OSError])
def test_whatever_ends_an_update_the_gallery_is_whole(
    failure: type[BaseException], tmp_path: Path, random: np.random.Generator
) -> None:
    outcomes: list[int | str] = []
    for step in range(1000):
        folder = Folder(tmp_path / f"{step}", random)
        folder.put(*(f"sea/{number}.png" for number in range(6)))
        folder.index()
        folder.put("sea/6.png", "sea/7.png")
        (folder.pictures / "sea" / "3.png").unlink()
        before = updating.usable(folder.saved, MODEL.fingerprint)
        assert before is not None
        indexed, manifest = indexed_anew(folder, before)
        with pytest.MonkeyPatch.context() as monkeypatch:
            mortal = Mortal(monkeypatch, step, failure)
            try:
                updating.update(folder.saved, before, indexed, manifest)
            except (KilledError, errors.GalleryError):
                assert mortal.happened
        outcomes.append(images_in(folder.saved))
        storage.check(folder.saved)
        same_as_anew(folder, folder.index())
        assert folder.segments() == [6, 2]
        assert {path.name for path in folder.saved.iterdir()} == set(storage.files(folder.saved))
        if not mortal.happened:
            break
    assert set(outcomes) == {6, 7}
    if failure is KilledError:
        switched = outcomes.index(7)
        assert switched > 10
        assert outcomes == [6] * switched + [7] * (len(outcomes) - switched)


def indexed_anew(folder: Folder, before: storage.Saved) -> tuple[updating.Indexed, updating.GalleryManifest]:
    """Return what `Gallery.index_folder` passes on to be written."""
    listed = folders.of_folder(folder.pictures, (), [before.rows])
    indexed = rrzoo.gallery.indexing.embed(MODEL, listed, known=[before.rows])
    manifest = updating.GalleryManifest(
        "tiny", MODEL.fingerprint, 3, "cosine", len(indexed.numbers), listed.classes, None, folder=listed.folder
    )
    return indexed, manifest


def test_two_that_update_at_once(folder: Folder) -> None:
    before = updating.usable(folder.saved, MODEL.fingerprint)
    assert before is not None
    folder.put("sea/new.png")
    indexed, manifest = indexed_anew(folder, before)
    folder.put("sea/other.png")
    folder.index()
    with pytest.raises(errors.GalleryError, match=r"another process has written .* meanwhile: run this again"):
        updating.update(folder.saved, before, indexed, manifest)
    same_as_anew(folder, folder.index())
    folder.put("sea/third.png")
    with files.lock(folder.saved / ".lock"), pytest.raises(errors.GalleryError, match="another process is writing"):
        folder.index()


@pytest.mark.parametrize("part", ["features", "rows", "thumbnails"])
def test_damaged_rows_are_not_written_again_as_if_they_were_whole(folder: Folder, part: str) -> None:
    flip_byte(folder.saved / f"{part}-1.safetensors")
    folder.put(*(f"hill/b{number}.png" for number in range(15)))
    again = folder.index()
    assert folder.segments() == [35]
    rrzoo.Gallery.build(MODEL, folder.pictures).save(folder.saved.parent / "anew")
    assert again.sources == rrzoo.Gallery.load(MODEL, folder.saved.parent / "anew").sources
    for name in ("features", "rows", "thumbnails"):
        (written,), (expected,) = (
            [path.read_bytes() for path in (folder.saved.parent / one).glob(f"{name}-*")] for one in ("saved", "anew")
        )
        assert written == expected


@pytest.fixture
def large(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A gallery whose first segment is large enough to have an index that is kept."""
    monkeypatch.setattr(partitioned, "EXACT", 10)
    folder.put("sea/20.png", "sea/21.png", "sea/22.png")
    folder.index()
    assert folder.segments() == [20, 3]
    return folder


def test_the_index_of_a_large_segment_is_kept(large: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [path.name for path in large.saved.glob("index-*")] == ["index-1.safetensors"]
    assert "index-1.safetensors" not in storage.files(large.saved)
    with monkeypatch.context() as patched:
        patched.setattr(partitioned.Inverted, "build", None)
        assert len(rrzoo.Gallery.load(MODEL, large.saved).search([QUERY], 5)[0]) == 5
    large.put(*(f"hill/b{number}.png" for number in range(30)))
    large.index()
    assert [path.name for path in large.saved.glob("index-*")] == ["index-3.safetensors"]


SPOILT: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "cut": lambda path: os.truncate(path, 90),
    "no tensors": lambda path: path.write_bytes(b"IxFI"),
    "of other features": lambda path: path.write_bytes(path.read_bytes().replace(b"features", b"featureS")),
    "a pipe": lambda path: [path.unlink(), os.mkfifo(path)],
}


@pytest.mark.parametrize("how", SPOILT)
def test_an_index_that_can_not_be_used_is_built_anew(large: Folder, how: str) -> None:
    SPOILT[how](large.saved / "index-1.safetensors")
    saved = storage.open_saved(large.saved)
    assert kept._read(large.saved, saved.manifest, saved.manifest.segments[0]) is None
    names = sorted(path.name for path in large.saved.iterdir())
    same_as_anew(large, rrzoo.Gallery.load(MODEL, large.saved))
    assert sorted(path.name for path in large.saved.iterdir()) == names  # a search writes nothing
    large.index()
    saved = storage.open_saved(large.saved)
    assert kept._read(large.saved, saved.manifest, saved.manifest.segments[0]) is not None


def test_no_bytes_of_an_index_do_harm(large: Folder) -> None:
    """Whatever it holds, hits are pictures of the gallery with their true scores."""
    path = large.saved / "index-1.safetensors"
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    expected = {hit.source: hit.score for hit in rrzoo.Gallery.load(MODEL, large.saved).search([QUERY], 23)[0]}
    for seed in range(60):
        shuffle = np.random.default_rng(seed)
        bad = bytearray(content)
        for place in shuffle.integers(start, len(content), shuffle.choice([1, 3, 50])).tolist():
            bad[place] = int(shuffle.integers(0, 256))
        path.write_bytes(bad)
        for hit in rrzoo.Gallery.load(MODEL, large.saved).search([QUERY], 5)[0]:
            assert hit.score == pytest.approx(expected[hit.source], abs=1e-6)
