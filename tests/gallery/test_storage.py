"""A gallery on disk: killed at every step, damaged in every part, of another format."""

import builtins
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import rrzoo
from conftest import smooth_image
from rrzoo import errors, files
from rrzoo.features import Features
from rrzoo.gallery import manifest as manifests
from rrzoo.gallery import storage, writing
from rrzoo.gallery.blobs import Joined
from rrzoo.gallery.columns import Column
from rrzoo.gallery.manifest import GalleryManifest
from rrzoo.gallery.rows import Rows, Split
from rrzoo.gallery.thumbnails import Thumbnails

FILES = ["features-{}.safetensors", "manifest.json", "rows-{}.safetensors", "thumbnails-{}.safetensors"]
OPERATIONS = ("open", "replace", "unlink", "mkdir", "chmod", "fsync", "rename")


class Model:
    """A model of which a gallery needs little."""

    name, fingerprint, has_relation_head, embeds_relation = "tiny", "f" * 64, False, True
    shorter_side = 1024

    def extract(self, images: Any) -> Features:
        features = np.array([[image.mean(), image.std(), 1.0] for image in images], np.float32)
        return Features(features, features)

    def embed_features(self, pooled: np.ndarray) -> np.ndarray:
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def relate_features(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        raise NotImplementedError


MODEL = Model()


def gallery(random: np.random.Generator, count: int) -> rrzoo.Gallery:
    pictures = [smooth_image(random, 9, 12) for _ in range(count)]
    return rrzoo.Gallery.from_images(MODEL, pictures, ["sea", "hill", None] * (count // 3))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def of_generation(number: int) -> list[str]:
    return [name.format(number) for name in FILES]


def test_each_save_is_the_next_generation(tmp_path: Path, random: np.random.Generator) -> None:
    for generation, count in enumerate((3, 6, 9), 1):
        gallery(random, count).save(str(tmp_path / "g"))
        assert names(tmp_path / "g") == of_generation(generation)
        assert len(rrzoo.Gallery.load(MODEL, str(tmp_path / "g"))) == count
    assert sorted(storage.files(tmp_path / "g")) == of_generation(3)
    assert storage.files(tmp_path) == []


class KilledError(BaseException):
    """The process is dead: no operation on files does anything any more."""


class Mortal:
    """Lets so many operations on files happen, and then kills the process or fails once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int, failure: type[BaseException]) -> None:
        self.left, self.failure, self.happened = left, failure, False
        for module in (os, io, builtins):
            for name in OPERATIONS:
                if hasattr(module, name) and (module is os or name == "open"):
                    monkeypatch.setattr(module, name, self.guard(getattr(module, name)))

    def guard(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == -1 or (self.left < 0 and self.failure is KilledError):
                self.happened = True
                raise self.failure
            return operation(*arguments, **named)

        return guarded


@pytest.mark.parametrize("failure", [KilledError, OSError])
@pytest.mark.parametrize("before", ["nothing", "a gallery", "an older format"])
def test_whatever_ends_a_save_the_gallery_is_whole(
    failure: type[BaseException], before: str, tmp_path: Path, random: np.random.Generator
) -> None:
    old, new = gallery(random, 3), gallery(random, 6)
    outcomes: list[int | str] = []
    for step in range(1000):
        folder = tmp_path / f"{step}"
        if before == "a gallery":
            old.save(folder)
        elif before == "an older format":
            write_older_format(folder)
        with pytest.MonkeyPatch.context() as monkeypatch:
            mortal = Mortal(monkeypatch, step, failure)
            try:
                new.save(folder)
            except (KilledError, errors.GalleryError):
                assert mortal.happened
        outcomes.append(images_in(folder))
        new.save(folder)  # goes on from there, and leaves nothing that was unfinished
        assert names(folder) == of_generation(json.loads((folder / "manifest.json").read_text())["generation"])
        if not mortal.happened:
            break
    first = {"nothing": "no gallery", "a gallery": 3, "an older format": "older format"}[before]
    assert set(outcomes) == {first, 6}
    if failure is KilledError:  # a failure that does not matter, such as that of a removal, may be passed over
        switched = outcomes.index(6)
        assert switched > 10
        assert outcomes == [first] * switched + [6] * (len(outcomes) - switched)


def images_in(folder: Path) -> int | str:
    """Return how many images a gallery has, or why there is none."""
    try:
        return len(rrzoo.Gallery.load(MODEL, folder))
    except errors.GalleryError as problem:
        return next((reason for reason in ("no gallery", "older format") if reason in str(problem)), str(problem))


def write_older_format(folder: Path) -> None:
    folder.mkdir()
    for name in ("gallery.json", "gallery.safetensors", "index.faiss"):
        (folder / name).write_bytes(b"IxFI")


def test_an_older_format_is_named_and_not_read(tmp_path: Path) -> None:
    write_older_format(tmp_path / "g")
    (tmp_path / "g" / "manifest.json").write_text('{"sha256": {}}')  # a model's, in whose folder it was
    with pytest.raises(errors.GalleryError, match=r"older format: build it anew .*python -m rrzoo index"):
        rrzoo.Gallery.load(MODEL, tmp_path / "g")


def test_only_what_is_a_gallerys_is_removed(tmp_path: Path, random: np.random.Generator) -> None:
    others = ["notes.txt", "features-1.safetensors.bak", "features-x.safetensors", "unfinished-notes"]
    leftovers = ["features-9.safetensors"]
    for name in others + leftovers:
        (tmp_path / name).write_text("x")
    gallery(random, 3).save(tmp_path)
    assert names(tmp_path) == sorted([*others, *of_generation(10)])


def test_the_manifest_of_something_else_stays(tmp_path: Path, random: np.random.Generator) -> None:
    (tmp_path / "manifest.json").write_text('{"sha256": {}}')
    with pytest.raises(errors.GalleryError, match=r"manifest\.json that is no gallery's"):
        gallery(random, 3).save(tmp_path)
    assert names(tmp_path) == ["manifest.json"]


def test_two_at_once_do_not_mix(tmp_path: Path, random: np.random.Generator) -> None:
    gallery(random, 3).save(tmp_path)
    with files.lock(tmp_path / ".lock"), pytest.raises(errors.GalleryError, match="another process is writing"):
        gallery(random, 6).save(tmp_path)
    assert len(rrzoo.Gallery.load(MODEL, tmp_path)) == 3


def test_a_generation_that_ends_while_it_is_read(
    tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery(random, 3).save(tmp_path)
    new, read_manifest = gallery(random, 6), manifests.read

    def read_and_be_overtaken(folder: Path) -> GalleryManifest:
        manifest = read_manifest(folder)
        if manifest.generation == 1:
            new.save(folder)
        return manifest

    monkeypatch.setattr(manifests, "read", read_and_be_overtaken)
    assert len(rrzoo.Gallery.load(MODEL, tmp_path)) == 6


def test_names_of_files_and_labels_come_back_as_they_were(tmp_path: Path) -> None:
    sources = ("größe.png", "", "a/b c.jpg", "not-utf8-\udcff.png")
    thumbnails = Thumbnails.join([Thumbnails.encode(np.zeros((4, 5, 3), np.uint8))] * 4)
    stamps = np.array([[1, 2], [3, 4], [0, 2**62], [5, -6]])
    rows = Rows(
        np.eye(4, dtype=np.float32), np.ones(4, np.float32), np.array([0, 1, -1, 1]), sources, stamps, thumbnails
    )
    manifest = GalleryManifest("m", "f", 4, "cosine", 4, ("a", "b"), None)
    writing.write(tmp_path, manifest, rows)
    read, again = storage.check(tmp_path).manifest, storage.check(tmp_path).rows
    assert (read.model, read.classes, read.generation, again.sources) == ("m", ("a", "b"), 1, sources)
    for name in ("unit", "lengths", "labels", "stamps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    assert again.thumbnails is not None
    assert list(again.thumbnails.files) == list(thumbnails.files)


@pytest.fixture
def saved(tmp_path: Path, random: np.random.Generator) -> Path:
    """A whole gallery of six images, one generation."""
    gallery(random, 6).save(tmp_path / "g")
    return tmp_path / "g"


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def edit(**fields: object) -> Callable[[Path], object]:
    """Return what changes fields of the manifest."""
    return lambda folder: write_manifest(folder, json.loads((folder / "manifest.json").read_text()) | fields)


def segment(**fields: object) -> dict[str, object]:
    """Return the segment of `saved`, with fields changed."""
    return {"number": 1, "rows": 6, "classes": ["hill", "sea"]} | fields


def of_segment(**fields: object) -> Callable[[Path], object]:
    """Return what changes fields of the only segment."""
    return edit(segments=[segment(**fields)])


def write_manifest(folder: Path, manifest: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Callable[[Path], object]:
    """Return what changes a tensor, and the SHA-256 of its file with it: what a hostile writer does."""

    def apply(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        for file in manifest["files"]:
            tensors = load_file(folder / file)
            if name in tensors:
                changed = change(tensors.pop(name).copy())
                (folder / file).unlink()  # who has it open goes on reading what was there
                save_file(tensors if changed is None else tensors | {name: changed}, folder / file)
                manifest["files"][file] = files.sha256(folder / file)
        write_manifest(folder, manifest)

    return apply


def put(row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[row] = value
        return array

    return change


def list_file(name: str) -> Callable[[Path], None]:
    """Return what lists another file instead of the features."""

    def apply(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"][name] = manifest["files"].pop("features-1.safetensors")
        write_manifest(folder, manifest)

    return apply


def edit_to_format_2(dataset: str | None) -> Callable[[Path], None]:
    """Return what makes the manifest one of format 2."""

    def apply(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        del manifest["splits"], manifest["segments"]
        write_manifest(folder, manifest | {"dataset": dataset, "format": 2})

    return apply


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "features changed": (lambda f: flip_byte(f / "features-1.safetensors"), "features-1.safetensors is not the file"),
    "rows cut": (lambda f: os.truncate(f / "rows-1.safetensors", 40), "rows-1.safetensors is not the file"),
    "no thumbnails": (lambda f: (f / "thumbnails-1.safetensors").unlink(), "thumbnails-1.safetensors is not there"),
    "a folder": (
        lambda f: [(f / FILES[0].format(1)).unlink(), (f / FILES[0].format(1)).mkdir()],
        r"features-1\.safetensors is no regular file",
    ),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "holds no manifest.json, so no gallery"),
    "manifest cut": (
        lambda f: (f / "manifest.json").write_text('{"model": '),
        "manifest.json: it is no JSON: Expecting value",
    ),
    "manifest binary": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe\x00"), "is damaged"),
    "manifest nested": (lambda f: (f / "manifest.json").write_text("[" * 100_000), "is damaged"),
    "manifest a list": (lambda f: write_manifest(f, []), "an object is needed"),
    "newer format": (edit(format=5), "of format 5, this version reads 4: upgrade rrzoo, or build it anew"),
    "other metric": (edit(metric="l2"), "out of range"),
    "unknown field": (edit(colour="red"), "unknown field 'colour'"),
    "rows are text": (edit(rows="6"), "rows is '6'"),
    "rows": (edit(rows=5), "lists other files than .*removed-1"),
    "more rows than segments have": (edit(rows=7), "segments have 6 rows, and it has 7"),
    "rows of the segment": (of_segment(rows=7), "lists other files than .*removed-1"),
    "rows of both": (edit(rows=5, segments=[segment(rows=5)]), r"features are \(6, 3\), not \(5, 3\)"),
    "dimension": (edit(dimension=4), r"features are \(6, 3\), not \(6, 4\)"),
    "generation": (edit(generation=0), "out of range"),
    "segment without files": (edit(generation=2, segments=[segment(number=2)]), "lists other files than features-2"),
    "segment of the future": (of_segment(number=2), "are not of generations up to 1"),
    "segment twice": (edit(segments=[segment(), segment()], rows=12), "are not of generations up to 1"),
    "segment of nothing": (of_segment(rows=0), "segments have 0 rows"),
    "no segment": (edit(segments=[]), "are not of generations up to 1"),
    "a file above": (list_file("../features-1.safetensors"), "lists other files"),
    "a file elsewhere": (list_file("/etc/passwd"), "lists other files"),
    "a class less": (of_segment(classes=["hill"]), "not numbers of 1 classes"),
    "format 2 of another data set": (edit_to_format_2("cifar10/test"), "6 images of cifar10/test are nothing that"),
    "splits": (edit(splits=[{"dataset": "clay10", "split": "test", "rows": 6}]), "lists other files"),
    "splits: no list": (edit(splits="clay10/test"), "splits is 'clay10/test'"),
    "unit: not a number": (tensor("unit", put(2, np.nan)), "not finite"),
    "unit: length": (tensor("unit", put(2, 3)), "scale it to unit length"),
    "unit: infinite": (tensor("unit", put(2, np.inf)), "not finite"),
    "unit: dtype": (tensor("unit", lambda a: a.astype(np.float64)), "unit is float64"),
    "unit: whole numbers": (tensor("unit", lambda a: a.view(np.int16)), "unit is int16"),
    "unit: shape": (tensor("unit", lambda a: a.ravel()), "unit is float16"),
    "unit: none": (tensor("unit", lambda a: None), "its tensors are"),
    "unit: empty": (tensor("unit", lambda a: a[:0]), "unit is float16"),
    "lengths: negative": (tensor("lengths", put(0, -1)), "lengths are out of range"),
    "lengths: infinite": (tensor("lengths", put(0, np.inf)), "lengths are out of range"),
    "lengths: one less": (tensor("lengths", lambda a: a[1:]), "lengths is float32"),
    "labels: below": (tensor("labels", put(1, -2)), "not numbers of 2 classes"),
    "labels: dtype": (tensor("labels", lambda a: a.astype(np.int32)), "labels is int32"),
    "sources: order": (tensor("source_ends", lambda a: a[::-1].copy()), "sources do not end one after another"),
    "sources: last": (tensor("source_ends", put(5, 10**9)), "sources do not end one after another"),
    "sources: first": (tensor("source_ends", put(0, -3)), "sources do not end one after another"),
    "sources: bytes": (tensor("sources", lambda a: a.astype(np.int64)), "sources is int64"),
    "thumbnails: ends": (tensor("thumbnail_ends", put(2, 10**9)), "thumbnails do not end one after another"),
    "thumbnails: none": (tensor("thumbnails", lambda a: None), "its tensors are"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(saved: Path, damage: str) -> None:
    hurt, message = DAMAGE[damage]
    hurt(saved)
    with pytest.raises(errors.GalleryError, match=message) as caught:
        storage.check(saved)
    assert "build it anew" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert damage == "no manifest" or storage.is_gallery(saved)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_where_it_is_read(saved: Path, damage: str) -> None:
    """A gallery is not read when it is opened; what is read is checked. A changed number shows in `check` alone."""
    DAMAGE[damage][0](saved)
    if damage == "features changed":
        use(rrzoo.Gallery.load(MODEL, saved))
        return
    with pytest.raises(errors.GalleryError, match="build ") as caught:
        use(rrzoo.Gallery.load(MODEL, saved))
    assert "\n" not in str(caught.value)


def test_opening_reads_no_row(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it takes as long for a million rows."""
    with monkeypatch.context() as patched:
        for kind in (Column, Joined):
            for name in ("__getitem__", "__iter__", "__array__"):
                patched.setattr(kind, name, None, raising=False)
        opened = rrzoo.Gallery.load(MODEL, saved)
        assert len(opened) == 6
    use(opened)


def use(opened: rrzoo.Gallery) -> None:
    """Read all of a gallery."""
    assert len(opened.search(np.ones((9, 12, 3), np.uint8), 6)[0]) == 6
    assert len(opened.features()) == len(list(opened.sources)) == len(opened.labels) == 6
    for row in range(6):
        opened.thumbnail(row)


SPLITS: dict[str, tuple[list[Split], str]] = {
    "a data set that is not shown": ([Split("cifar10", "test", 6)], "6 images of cifar10/test are nothing"),
    "a folder of this machine": ([Split("dir:/etc", "train", 6)], "6 images of dir:/etc/train are nothing"),
    "no such split": ([Split("clay10", "none", 6)], "6 images of clay10/none are nothing"),
    "no labels": ([Split("stl10", "unlabeled", 6)], "6 images of stl10/unlabeled are nothing"),
    "none of them": ([Split("clay10", "test", 6), Split("clay10", "train", 0)], "0 images of clay10/train are nothing"),
    "fewer than that": ([Split("clay10", "test", -6)], "-6 images"),
    "more than rows": ([Split("clay10", "test", 1000)], "it has 6 rows, its splits have other numbers"),
    "more than memory": ([Split("clay10", "test", 10**15)], "it has 6 rows, its splits have other numbers"),
    "more than at hand": ([Split("clay10", "test", 6)], r"are not those of the gallery \(1,000 images, not 6\)"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_pictures_come_only_from_data_sets_that_are_shown(saved: Path, case: str) -> None:
    splits, message = SPLITS[case]
    kept = storage.check(saved)
    manifest, rows = kept.manifest, kept.rows
    writing.write(saved, replace(manifest, splits=tuple(splits)), replace(rows, thumbnails=None, splits=tuple(splits)))
    with pytest.raises(errors.GalleryError, match=message) as caught:
        rrzoo.Gallery.load(MODEL, saved)
    assert "build " in str(caught.value)


def test_features_are_kept_in_half_of_the_bytes(tmp_path: Path, random: np.random.Generator) -> None:
    """The size of a gallery over a data set: 13,000 rows of 256 numbers take 6.8 MB."""
    unit = random.normal(size=(900, 256)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    relation = random.exponential(size=(900, 64)).astype(np.float32)
    splits = (Split("stl10", "train", 400), Split("stl10", "test", 500))
    sources = tuple(f"{s.dataset}/{s.split}/{row}" for s in splits for row in range(s.rows))
    lengths, labels = np.ones(900, np.float32), random.integers(0, 10, 900)
    manifest = GalleryManifest("m", "f", 256, "cosine", 900, tuple("abcdefghij"), None, splits)
    for number, kept in enumerate((None, relation)):
        folder = tmp_path / f"{number}"
        writing.write(folder, manifest, Rows(unit, lengths, labels, sources, None, None, kept, splits))
        size = sum(path.stat().st_size for path in folder.iterdir())
        assert size < 900 * (2 * (256 + 64 * number) + 12) + 2_000
        read = storage.check(folder).rows
        assert (read.sources, read.splits, read.thumbnails) == (sources, splits, None)
        found = np.asarray(read.unit)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, unit, atol=2e-4)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(found @ unit[:50].T, unit @ unit[:50].T, atol=3e-4)
    assert read.relation is not None
    np.testing.assert_allclose(np.asarray(read.relation), relation, rtol=1e-3)


def test_what_float16_does_not_reach_is_kept_in_float32(tmp_path: Path) -> None:
    relation = np.array([[1e5, 1.0]], np.float32)
    splits = (Split("clay10", "test", 1),)
    rows = Rows(
        np.eye(1, 2, dtype=np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int64),
        ("clay10/test/0",),
        None,
        None,
        relation,
        splits,
    )
    writing.write(tmp_path, GalleryManifest("m", "f", 2, "cosine", 1, ("a",), None, splits), rows)
    np.testing.assert_array_equal(storage.check(tmp_path).rows.relation, relation)


RELATION: dict[str, tuple[Callable[[np.ndarray], np.ndarray | None], str]] = {
    "not a number": (put(2, np.nan), "relation holds features that are not finite"),
    "dtype": (lambda a: a.astype(np.int64), "relation is int64"),
    "one less": (lambda a: a[1:], "relation is float16"),
    "shape": (lambda a: a.ravel(), "relation is float16"),
    "no numbers": (lambda a: a[:, :0], "relation is float16"),
}


@pytest.mark.parametrize("damage", RELATION)
def test_damaged_features_of_the_relation_head(saved: Path, damage: str) -> None:
    kept = storage.check(saved)
    manifest, rows = kept.manifest, kept.rows
    writing.write(saved, manifest, replace(rows, relation=np.ones((6, 5), np.float32)))
    assert len(rrzoo.Gallery.load(MODEL, saved)) == 6
    change, message = RELATION[damage]
    tensor("relation", change)(saved)
    with pytest.raises(errors.GalleryError, match=message):
        storage.check(saved)


@pytest.mark.parametrize("version", [2, 3])
def test_older_formats_are_read(saved: Path, version: int) -> None:
    """Features were float32 in format 2, and a data set's rows had sources; format 3 knew no segments."""
    expected = rrzoo.Gallery.load(MODEL, saved)
    if version == 2:
        tensor("unit", lambda a: a.astype(np.float32))(saved)
        edit_to_format_2(None)(saved)
    else:
        manifest = json.loads((saved / "manifest.json").read_text())
        del manifest["segments"]
        write_manifest(saved, manifest | {"format": 3})
    again = rrzoo.Gallery.load(MODEL, saved)
    assert again.sources == expected.sources
    np.testing.assert_array_equal(again.features(), expected.features())
    again.save(saved)
    assert json.loads((saved / "manifest.json").read_text())["format"] == 4


@pytest.mark.parametrize("size", [None, (161, 1), (5000, 5000)])
def test_a_thumbnail_that_is_none(saved: Path, size: tuple[int, int] | None) -> None:
    broken = io.BytesIO(b"no WebP")
    if size is not None:
        Image.new("RGB", size).save(broken, "WEBP", lossless=True)
    kept = storage.check(saved)
    manifest, rows = kept.manifest, kept.rows
    assert rows.thumbnails is not None
    thumbnails = Thumbnails.join([rows.thumbnails.file(0), *[broken.getvalue()] * 5])
    writing.write(saved, manifest, replace(rows, thumbnails=thumbnails))
    loaded = rrzoo.Gallery.load(MODEL, saved)
    assert loaded.thumbnail(0).size == (12, 9)
    with pytest.raises(errors.GalleryError, match="the thumbnail of row 3 is damaged"):
        loaded.thumbnail(3)
