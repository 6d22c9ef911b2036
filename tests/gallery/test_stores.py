"""Galleries in a store answer as those in a folder do; whatever goes wrong is one line, and nothing is lost."""

import json
import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import Outcome
from rrzoo import datasets, errors, zoo
from rrzoo.gallery import stores
from rrzoo.gallery.backends.lance_table import LanceTable
from rrzoo.gallery.stores import writing


@pytest.fixture(params=["lance_folder", "lance_bucket"])
def store(request: pytest.FixtureRequest) -> str:
    """The address of a store where nothing is: in a folder, and on an S3 server of this machine."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eighteen figures of clay: in folders of two classes, a day apart each, and one of no class, with its copy."""
    clay = datasets.load("clay10", "test")
    folder, labels = tmp_path / "figures", clay.require_labels()
    rows = [row for name in ("cat", "ship") for row in np.flatnonzero(labels == clay.classes.index(name))[:8].tolist()]
    for day, row in enumerate(rows):
        path = folder / clay.classes[int(labels[row])] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clay.images[row]).resize((96, 96)).save(path)
        changed = datetime(2024, 1, 1 + day, 12, tzinfo=UTC).timestamp()
        os.utime(path, (changed, changed))
    for name in ("none.png", "none's copy.png"):
        Image.fromarray(clay.images[5]).resize((96, 96)).save(folder / name)
    return folder


class Counting:
    """A model that counts the pictures it embeds, and fails after some."""

    def __init__(self, model: rrzoo.Model, most: int = 10**9) -> None:
        self.model, self.most, self.embedded = model, most, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def extract(self, images: Any) -> Any:
        if self.embedded >= self.most:
            raise KeyboardInterrupt
        self.embedded += len(images)
        return self.model.extract(images)


Content = dict[str, tuple[str | None, np.ndarray]]


def content(gallery: rrzoo.Gallery) -> Content:
    """Return label and features of all pictures, by source."""
    labels = [gallery.classes[label] if label >= 0 else None for label in gallery.labels.tolist()]
    found = dict(zip(gallery.sources, zip(labels, gallery.unit(), strict=True), strict=True))
    assert len(found) == len(gallery)  # none is doubled
    return found


def is_same(found: Content, expected: Content) -> None:
    """Compare two; a gallery in a folder has features in float16."""
    assert {source: label for source, (label, _) in found.items()} == {s: label for s, (label, _) in expected.items()}
    for source, (_, unit) in expected.items():
        np.testing.assert_allclose(found[source][1], unit, atol=1e-3)


def answers(hits: list[list[Any]]) -> list[dict[str, tuple[str | None, Any, Any]]]:
    return [
        {
            hit.source: (hit.label, pytest.approx(hit.score, abs=1e-3), pytest.approx(hit.relation, abs=0.02))
            for hit in some
        }
        for some in hits
    ]


def test_a_store_answers_as_a_folder_does(store: str, folder: Path, model: rrzoo.Model, tmp_path: Path) -> None:
    there = rrzoo.Gallery.index_folder(model, folder, tmp_path / "gallery")
    gallery = stores.index_folder(model, folder, store)
    is_same(content(gallery), content(there))
    assert (gallery.classes, gallery.folder) == (there.classes, there.folder)
    asked = sorted(folder.rglob("*.png"))[3:6]
    questions: list[dict[str, Any]] = [
        {},
        {"rerank": True},
        {"together": True, "avoid": asked[2]},
        {"label": "ship"},
        {"newer": datetime(2024, 1, 5, tzinfo=UTC), "older": datetime(2024, 1, 9, tzinfo=UTC), "label": "cat"},
        {"prefix": "cat/1"},
        {"prefix": "none's"},
        {"hide_copies": True},
        {"least_score": 0.8},
    ]
    for question in questions:
        expected = there.search(asked[:2], 18, **question)
        found = gallery.search(asked[:2], 18, **question)
        assert [{hit.source: (hit.label, hit.score, hit.relation) for hit in some} for some in found] == answers(
            expected
        )
        assert [len(some) for some in gallery.search(asked[:2], 3, **question)] == [min(3, len(e)) for e in expected]
    np.testing.assert_allclose(gallery.classify(asked, 4), there.classify(asked, 4), atol=1e-2)
    hit = gallery.search(folder / "none.png", 1)[0][0]
    assert hit.thumbnail is not None
    np.testing.assert_array_equal(hit.thumbnail, gallery.thumbnail(hit.row))
    np.testing.assert_array_equal(hit.thumbnail, there.thumbnail(list(there.sources).index(hit.source)))
    (group,) = gallery.duplicates(folder=folder)
    assert {copy.source for copy in group.copies} == {"none.png", "none's copy.png"}
    np.testing.assert_allclose(
        gallery.features()[0], model.extract([folder / gallery.sources[0]]).relation[0], atol=1e-4
    )
    with pytest.raises(errors.ArgumentError, match="no image has the label 'dog'"):
        gallery.search(asked, label="dog")


def test_what_is_known_is_not_embedded_again_and_never_doubled(store: str, folder: Path, model: rrzoo.Model) -> None:
    counting, seen = Counting(model), []
    stores.index_folder(counting, folder, store)
    old = stores.open_gallery(model, store)
    before = content(old)
    assert counting.embedded == 18
    version = LanceTable.open(store)
    assert version is not None
    stores.index_folder(counting, folder, store, lambda *progress: seen.append(progress))
    after = LanceTable.open(store)
    assert after is not None
    assert (counting.embedded, seen, after.version) == (18, [(18, 18)], version.version)  # nothing is written
    changed, gone = sorted((folder / "cat").iterdir())[:2]
    Image.open(sorted((folder / "ship").iterdir())[0]).save(changed)
    gone.unlink()
    shutil.copy(folder / "none.png", folder / "ship" / "new.png")
    gallery = stores.index_folder(counting, folder, store)
    assert counting.embedded == 20
    is_same(content(gallery), content(rrzoo.Gallery.build(model, folder)))
    is_same(content(old), before)  # who opened it earlier sees what was there then
    assert len(old.search(changed, 30)[0]) == 18


def test_an_interrupted_run_goes_on(
    store: str, folder: Path, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrzoo.gallery.sources.BATCH", 4)
    monkeypatch.setattr(writing, "WRITTEN", 4)
    monkeypatch.setattr(writing, "MOST", 4)
    with pytest.raises(KeyboardInterrupt):
        stores.index_folder(Counting(model, 10), folder, store)
    assert len(stores.open_gallery(model, store)) == 12
    counting = Counting(model)
    is_same(content(stores.index_folder(counting, folder, store)), content(rrzoo.Gallery.build(model, folder)))
    assert counting.embedded == 6


def test_two_writers_at_once(store: str, folder: Path, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes all; what both write is there once."""
    monkeypatch.setattr("rrzoo.gallery.sources.BATCH", 3)
    monkeypatch.setattr(writing, "WRITTEN", 3)
    monkeypatch.setattr(writing, "MOST", 3)
    stores.index_folder(model, folder, store)
    for path in folder.rglob("*.png"):
        path.touch()
    outcomes: list[int] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(len(stores.index_folder(model, folder, store))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [18, 18]
    is_same(content(stores.open_gallery(model, store)), content(rrzoo.Gallery.build(model, folder)))


def test_a_search_writes_nothing(folder: Path, lance_folder: str, model: rrzoo.Model) -> None:
    gallery = stores.index_folder(model, folder, lance_folder)
    place = Path(lance_folder.removeprefix("lance:"))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    gallery.search(folder / "none.png", rerank=True, label="cat")
    stores.open_gallery(model, lance_folder).duplicates()
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_a_data_set(store: str, model: rrzoo.Model, few_figures: None) -> None:
    counting, split = Counting(model), datasets.load("clay10", "test")
    gallery = stores.index_datasets(counting, [split], store)
    assert (len(gallery), gallery.description) == (len(split), split.description)
    stores.index_datasets(counting, [split], store)
    assert counting.embedded == len(split)
    hit = gallery.search(split.images[7], 1)[0][0]
    assert (hit.source, hit.label) == ("clay10/test/7", split.classes[split.require_labels()[7]])
    assert hit.thumbnail is not None
    assert hit.thumbnail.size == split.images[7].shape[1::-1]
    with pytest.raises(errors.ArgumentError, match="only galleries of a folder's files know them"):
        gallery.search(split.images[7], newer=datetime(2024, 1, 1, tzinfo=UTC))


def one_line(problem: pytest.ExceptionInfo[errors.RRZooError]) -> str:
    text = str(problem.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def test_stores_that_are_not_ones_own(store: str, folder: Path, model: rrzoo.Model, tmp_path: Path) -> None:
    before = content(stores.index_folder(model, folder, store))
    other = rrzoo.load("conv4-stl10")
    for use in (lambda: stores.open_gallery(other, store), lambda: stores.index_folder(other, folder, store)):
        with pytest.raises(errors.GalleryError, match=r"of another model \(conv4-cifar10, 128 numbers") as problem:
            use()
        one_line(problem)
    shutil.copytree(folder, tmp_path / "others")
    with pytest.raises(errors.GalleryError, match=r"holds the gallery of .*figures, not of .*others: name another"):
        stores.index_folder(model, tmp_path / "others", store)
    is_same(content(stores.open_gallery(model, store)), before)


def test_tables_that_rrzoo_has_not_written(lance_folder: str, folder: Path, model: rrzoo.Model) -> None:
    import lancedb

    with pytest.raises(errors.GalleryError, match=r"holds no gallery: fill it with: python -m rrzoo index SOURCE"):
        stores.open_gallery(model, lance_folder)
    assert not Path(lance_folder.removeprefix("lance:")).exists()  # looking makes nothing
    lancedb.connect(lance_folder.removeprefix("lance:")).create_table("pictures", [{"id": 1}])
    for use in (
        lambda: stores.open_gallery(model, lance_folder),
        lambda: stores.index_folder(model, folder, lance_folder),
    ):
        with pytest.raises(errors.GalleryError, match="holds a table that rrzoo has not written"):
            use()


ADDRESSES = {
    "lance:": "is no store: write lance:FOLDER",
    "lance:s3://key:secret@bucket/x": r"^lance:s3://\.\.\.@bucket/x holds a name or key",
    "lance:s3://bucket/x?endpoint=h": r"'endpoint' of .* is unknown: did you mean endpoint_override",
    "lance:nosuch://bucket/x": "can't be read: ",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_that_are_none(address: str, lance_folder: str, model: rrzoo.Model) -> None:
    with pytest.raises(errors.RRZooError, match=ADDRESSES[address]) as problem:
        stores.open_gallery(model, address)
    assert "secret" not in one_line(problem)


def test_a_bucket_that_is_not_there(lance_bucket: str, folder: Path, model: rrzoo.Model) -> None:
    address = lance_bucket.replace("//galleries/", "//nobodys/")
    for use in (lambda: stores.open_gallery(model, address), lambda: stores.index_folder(model, folder, address)):
        with pytest.raises(errors.GalleryError, match="can't be read: The specified bucket does not exist") as problem:
            use()
        one_line(problem)


@pytest.fixture
def own_server(lance_bucket: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server of the test's own, a store on it, and what stops it."""
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    place = ":".join(map(str, server.get_host_and_port()))
    S3FileSystem(endpoint_override=place, scheme="http", allow_bucket_creation=True).create_dir("galleries")
    stopped: list[bool] = []

    def stop() -> None:
        if not stopped:
            stopped.append(True)
            server.stop()

    yield f"lance:s3://galleries/x?endpoint_override={place}&scheme=http&region=us-east-1", stop
    stop()


def test_a_network_that_is_lost(
    own_server: tuple[str, Callable[[], None]], folder: Path, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrzoo.gallery.sources.BATCH", 6)
    monkeypatch.setattr(writing, "WRITTEN", 6)
    monkeypatch.setattr(writing, "MOST", 6)
    address, stop = own_server
    with pytest.raises(errors.GalleryError, match=r"can't be written: .*what is there is kept") as problem:
        stores.index_folder(model, folder, address, lambda done, _: stop() if done == 12 else None)
    one_line(problem)
    with pytest.raises(errors.GalleryError, match="can't be read: ") as problem:
        stores.open_gallery(model, address)
    one_line(problem)


def test_no_room(lance_folder: str, folder: Path, model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there is there afterwards, and the next run writes what was missing."""
    before = content(stores.index_folder(model, folder, lance_folder))
    shutil.copy(folder / "none.png", folder / "new.png")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(errors.GalleryError, match="can't be written: ") as problem:
            stores.index_folder(model, folder, lance_folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    one_line(problem)
    is_same(content(stores.open_gallery(model, lance_folder)), before)
    assert len(stores.index_folder(model, folder, lance_folder)) == 19


def test_a_table_that_another_writer_changes_or_removes(lance_folder: str, folder: Path, model: rrzoo.Model) -> None:
    gallery = stores.index_folder(model, folder, lance_folder)
    table = LanceTable.open(lance_folder)
    assert table is not None
    table.delete(table.scan(["id"])["id"])
    assert len(gallery.search(folder / "none.png", 30)[0]) == 18
    with pytest.raises(errors.GalleryError, match="holds no gallery"):
        stores.open_gallery(model, lance_folder)
    assert len(stores.index_folder(model, folder, lance_folder)) == 18
    gallery = stores.open_gallery(model, lance_folder)
    shutil.rmtree(Path(lance_folder.removeprefix("lance:")))
    with pytest.raises(errors.GalleryError, match="can't be") as problem:
        gallery.search(folder / "none.png")
    one_line(problem)


def test_without_lancedb(model: rrzoo.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.ArgumentError, match=r"takes one more package, lancedb: pip install 'rrzoo\[lance\]'"):
        stores.open_gallery(model, "lance:somewhere")


def test_commands(lance_folder: str, folder: Path, model: rrzoo.Model, run_command: Callable[..., Outcome]) -> None:
    done = run_command("index", folder, "--model", model.name, "--store", lance_folder)
    assert (done.status, f"{lance_folder}\n" in done.out) == (0, True), done.err
    assert f"rrzoo demo --model {model.name} --gallery {lance_folder}" in done.out
    question = folder / "none.png", "--model", model.name, "--store", lance_folder, "--json"
    found = json.loads(run_command("search", *question, "--prefix", "cat/", "-k", "3").out)
    assert [hit["label"] for hit in found] == ["cat"] * 3
    groups = json.loads(run_command("duplicates", folder, "--model", model.name, "--store", lance_folder, "--json").out)
    assert [len(group) for group in groups] == [2]
    assert len(zoo.open_gallery(model, lance_folder)) == 18  # as the demo and the map do
    for argv, says in (
        (("search", *question, "--gallery", "x"), "choose one"),
        (("index", folder, "--store", lance_folder, "--out", "x"), "choose one place"),
        (("index", folder, "--store", "elsewhere"), "'elsewhere' is no store"),
        (("search", folder / "none.png", "--store", lance_folder, "--model", "conv4-stl10"), "of another model"),
    ):
        done = run_command(*argv)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert says in done.err
