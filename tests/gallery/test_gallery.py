"""Galleries: search against brute force, there and back, and everything that can be wrong with one."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import REPOSITORY, smooth_image
from rrzoo import datasets, errors
from rrzoo.config import Architecture, ModelConfig
from rrzoo.features import Features
from rrzoo.gallery import sources, storage, writing
from rrzoo.store import model_folder
from rrzoo.store.save import save

FLOAT16 = 1e-3  # what rounding features to float16 may change


@pytest.fixture
def photos(tmp_path: Path, random: np.random.Generator) -> Path:
    """A folder of twelve images: ten in two class folders, two beside them."""
    folder = tmp_path / "photos"
    for name in [f"{kind}/{i}.png" for kind in ("sea", "hills/far") for i in range(5)] + ["x.png", "y.jpg"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(random, *random.integers(20, 300, 2))).save(path)
    return folder


def test_search_equals_brute_force(model: rrzoo.Model, random: np.random.Generator) -> None:
    figures = datasets.load("clay10", "test")
    gallery = rrzoo.Gallery.build(model, figures)
    queries = [smooth_image(random, 40, 40) for _ in range(5)]
    similarity = model.embed(queries) @ model.embed(figures.images).T
    for hits, expected in zip(gallery.search(queries, k=7), similarity, strict=True):
        rows = np.argsort(-expected, kind="stable")[:7]
        np.testing.assert_allclose([hit.score for hit in hits], expected[rows], atol=1e-5)
        assert [hit.row for hit in hits] == rows.tolist()
        assert [hit.label for hit in hits] == [figures.classes[figures.labels[row]] for row in rows]
        np.testing.assert_array_equal(np.asarray(hits[0].thumbnail), figures.images[rows[0]])
    np.testing.assert_allclose(gallery.features(), model.features(figures.images), rtol=1e-4, atol=1e-5)


def test_a_folder(model: rrzoo.Model, photos: Path) -> None:
    gallery = rrzoo.Gallery.build(model, photos)
    assert len(gallery) == 12
    assert gallery.classes == ("hills", "sea")
    ((first, *_),) = gallery.search(photos / "sea" / "3.png", k=1)
    assert (first.source, first.label) == ("sea/3.png", "sea")
    assert first.score == pytest.approx(1, abs=1e-5)
    assert max(first.thumbnail.size) <= 160
    ((first,),) = gallery.search(photos / "x.png", k=1)
    assert (first.source, first.label) == ("x.png", None)


def test_more_hits_than_images(model: rrzoo.Model, photos: Path) -> None:
    assert len(rrzoo.Gallery.build(model, photos).search(photos / "x.png", k=100)[0]) == 12


def test_there_and_back(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    for source in (photos, datasets.load("clay10", "test")):
        gallery = rrzoo.Gallery.build(model, source)
        folder = tmp_path / f"saved-{len(gallery)}"
        gallery.save(folder)
        again = rrzoo.Gallery.load(model, folder)
        before, after = (g.search(photos / "x.png", k=5)[0] for g in (gallery, again))
        for one, other in zip(before, after, strict=True):
            assert (one.label, one.source, one.row) == (other.label, other.source, other.row)
            assert one.score == pytest.approx(other.score, abs=FLOAT16)
            np.testing.assert_array_equal(np.asarray(one.thumbnail), np.asarray(other.thumbnail))
        np.testing.assert_allclose(gallery.features(), again.features(), rtol=FLOAT16, atol=FLOAT16)


def test_there_and_back_where_the_embedding_is_not_what_the_relation_head_takes(
    model: rrzoo.Model, photos: Path, tmp_path: Path
) -> None:
    architecture = replace(model.config.architecture, classes=(), pooling=2, zooms=(1.0, 0.8), embedding_size=9)
    other = rrzoo.Model(replace(model.config, name="other", architecture=architecture))
    other.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith(("probe", "embedding"))}, strict=False
    )
    gallery = rrzoo.Gallery.build(other, photos)
    gallery.save(tmp_path / "saved")
    again = rrzoo.Gallery.load(other, tmp_path / "saved")
    before, after = (g.search(photos / "x.png", k=5, rerank=True)[0] for g in (gallery, again))
    for one, same in zip(before, after, strict=True):
        assert (one.row, one.score) == (same.row, pytest.approx(same.score, abs=FLOAT16))
        assert one.relation == pytest.approx(same.relation, abs=2e-3)
    paths = [photos / source for source in again.sources]
    np.testing.assert_allclose(again.features(), other.features(paths), rtol=FLOAT16, atol=1e-5)
    scores = other.relate([photos / "x.png"] * 5, [paths[hit.row] for hit in after])
    assert [hit.relation for hit in after] == pytest.approx(scores.tolist(), abs=2e-3)
    cosines = other.embed([paths[hit.row] for hit in after]) @ other.embed(photos / "x.png")[0]
    assert [hit.score for hit in after] == pytest.approx(cosines.tolist(), abs=FLOAT16)


def test_a_gallery_without_what_the_relation_head_takes_says_so_where_that_is_needed(
    model: rrzoo.Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rrzoo.Model, "embeds_relation", False)
    built = rrzoo.Gallery.build(model, photos, rerank=False)
    built.save(tmp_path / "saved")
    for gallery in (built, rrzoo.Gallery.load(model, tmp_path / "saved")):
        assert not gallery.can_rerank
        (hits,) = gallery.search(photos / "x.png", 3)
        assert [hit.relation for hit in hits] == [None] * 3
        with pytest.raises(errors.ArgumentError, match=r"built without the features that .* rerank=True"):
            gallery.search(photos / "x.png", 3, rerank=True)
        with pytest.raises(errors.ArgumentError, match="holds no features for a relation head"):
            gallery.features()
    again = rrzoo.Gallery.index_folder(model, photos, tmp_path / "saved")  # does not take over what lacks them
    assert again.can_rerank
    np.testing.assert_allclose(again.features(), model.features(sorted_paths(photos)), rtol=FLOAT16, atol=1e-5)


def sorted_paths(photos: Path) -> list[Path]:
    return [photos / source for source in rrzoo.Gallery.build(rrzoo.load("conv4-cifar10"), photos).sources]


def test_features_of_another_width_for_the_relation_head(
    model: rrzoo.Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rrzoo.Model, "embeds_relation", False)
    rrzoo.Gallery.build(model, photos).save(tmp_path)
    kept = storage.check(tmp_path)
    manifest, rows = kept.manifest, kept.rows
    writing.write(tmp_path, manifest, replace(rows, relation=np.ones((12, 5), np.float32)))
    with pytest.raises(errors.GalleryError, match="5 numbers an image for the relation head, which takes 64"):
        rrzoo.Gallery.load(model, tmp_path).search(photos / "x.png")


def test_images_that_ship_are_not_stored_again(tmp_path: Path, model: rrzoo.Model) -> None:
    rrzoo.Gallery.build(model, datasets.load("clay10", "test")).save(tmp_path)
    numbers = model.config.architecture.embedding_size + model.backbone.feature_size
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1000 * 2 * numbers + 17_000  # float16, and rows


def test_a_saved_gallery_is_as_readable_as_any_new_file(tmp_path: Path, model: rrzoo.Model) -> None:
    rrzoo.Gallery.build(model, datasets.load("clay10", "test")).save(tmp_path / "g")
    (tmp_path / "new").touch()
    assert {path.stat().st_mode for path in (tmp_path / "g").iterdir()} == {(tmp_path / "new").stat().st_mode}


def test_the_shipped_gallery_is_the_models(model: rrzoo.Model) -> None:
    assert model.folder is not None
    shipped, built = model.gallery(), rrzoo.Gallery.build(model, datasets.load("clay10", "test"))
    np.testing.assert_allclose(shipped.features(), built.features(), rtol=FLOAT16, atol=1e-4)


def test_a_models_own_gallery_comes_before_the_clay_figures(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    save(model, folder, rrzoo.Gallery.build(model, photos))
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("gallery")) == ["gallery"]
    assert {f"gallery/{name}" for name in storage.files(folder / "gallery")} <= model_folder.read_manifest(
        folder
    ).sha256.keys()
    assert model_folder.altered(folder) == []
    assert len(rrzoo.load(f"dir:{folder}").gallery()) == 12
    shutil.rmtree(folder / "gallery")
    for name in storage.FORMAT_1:  # a folder of the older format had its gallery at its top
        (folder / name).write_bytes(b"IxFI")
    assert len(rrzoo.load(f"dir:{folder}").gallery()) == 1000


def other_model() -> rrzoo.Model:
    return rrzoo.Model(ModelConfig("other", Architecture("conv4", 32, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))))


def test_another_models_gallery_is_refused(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    rrzoo.Gallery.build(model, photos).save(tmp_path / "g")
    with pytest.raises(errors.GalleryError, match=r"of another model \(conv4-cifar10.*build the gallery anew"):
        rrzoo.Gallery.load(other_model(), tmp_path / "g")


def test_empty_and_missing_folders(model: rrzoo.Model, tmp_path: Path) -> None:
    with pytest.raises(errors.GalleryError, match="holds no images"):
        rrzoo.Gallery.build(model, tmp_path)
    with pytest.raises(errors.GalleryError, match="is not a folder"):
        rrzoo.Gallery.build(model, tmp_path / "none")


def test_a_broken_image_is_named(model: rrzoo.Model, photos: Path) -> None:
    (photos / "sea" / "2.png").write_bytes(b"broken")
    with pytest.raises(errors.GalleryError, match=r"sea/2\.png.*Replace or remove it"):
        rrzoo.Gallery.build(model, photos, strict=True)
    assert len(rrzoo.Gallery.build(model, photos)) == 11


def test_what_random_pairs_have(model: rrzoo.Model, photos: Path) -> None:
    gallery = rrzoo.Gallery.build(model, photos)
    unit = model.embed([photos / source for source in gallery.sources])
    every = np.sort((unit @ unit.T)[~np.eye(12, dtype=bool)])
    found = gallery.random_scores()
    assert len(found) == 10_000
    np.testing.assert_allclose(np.unique(found.round(4)), np.unique(every.round(4)), atol=2e-4)
    for share in (10, 50, 90):
        assert np.percentile(found, share) == pytest.approx(np.percentile(every, share), abs=0.02)
    assert len(rrzoo.Gallery.from_images(model, [photos / "x.png"]).random_scores()) == 0


def test_k_below_one(model: rrzoo.Model) -> None:
    with pytest.raises(errors.ArgumentError, match="k is 0"):
        model.gallery().search(np.zeros((8, 8, 3), np.uint8), k=0)


def test_reranking_sorts_the_nearest_by_relation_score(model: rrzoo.Model, random: np.random.Generator) -> None:
    figures = datasets.load("clay10", "test")
    gallery = rrzoo.Gallery.build(model, figures)
    query = smooth_image(random, 40, 40)
    (nearest,) = gallery.search(query, 100)
    expected = model.relate([query] * 100, [figures.images[hit.row] for hit in nearest])
    np.testing.assert_allclose([hit.relation for hit in nearest], expected, rtol=1e-3, atol=1e-6)
    (reranked,) = gallery.search(query, 5, rerank=True)
    best = sorted(nearest, key=lambda hit: -hit.relation)[:5]
    assert [(hit.row, hit.score) for hit in reranked] == [(hit.row, pytest.approx(hit.score)) for hit in best]
    assert [hit.row for hit in reranked] != [hit.row for hit in nearest[:5]]


def test_a_gallery_in_memory(model: rrzoo.Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(photos.rglob("*.png"))
    pictures = [*paths, np.asarray(Image.open(paths[0]))]
    before = sorted(tmp_path.rglob("*"))
    seen: list[tuple[int, int]] = []
    labels = [None if path.parent == photos else path.parent.name for path in paths]
    gallery = rrzoo.Gallery.from_images(model, pictures, [*labels, "again"], lambda *done: seen.append(done))
    assert sorted(tmp_path.rglob("*")) == before
    assert seen == [(0, 12), (8, 12), (12, 12)]
    ((first, second, *_),) = gallery.search(paths[0], 12)
    assert {first.row, second.row} == {0, 11}
    assert {first.label, second.label} == {"far", "again"}
    assert {first.source, second.source} == {paths[0].name, "12"}
    assert first.score == pytest.approx(1, abs=1e-5)


def test_what_a_gallery_in_memory_refuses_or_leaves_out(model: rrzoo.Model, photos: Path) -> None:
    (photos / "x.png").write_bytes(b"broken")
    given = [photos / "x.png", photos / "y.jpg"]
    with pytest.raises(errors.GalleryError, match=r"image 1: x\.png is not an image"):
        rrzoo.Gallery.from_images(model, given, strict=True)
    gallery = rrzoo.Gallery.from_images(model, given, ["no", "yes"])
    assert (gallery.sources, gallery.classes[gallery.labels[0]]) == (("y.jpg",), "yes")
    assert len(gallery.skipped) == 1
    for count in (0, 501):
        with pytest.raises(errors.GalleryError, match="takes 1 to 500"):
            rrzoo.Gallery.from_images(model, [photos / "y.jpg"] * count)
    with pytest.raises(errors.ArgumentError, match="1 labels and 2 images"):
        rrzoo.Gallery.from_images(model, given, ["no"])


def test_a_gallery_of_a_list_of_images(model: rrzoo.Model, photos: Path) -> None:
    paths = [str(photos / "x.png"), photos / "y.jpg"]
    pixels = np.asarray(Image.open(photos / "x.png"))
    for given, expected in (
        (paths, ("x.png", "y.jpg")),
        (tuple(paths[1:]), ("y.jpg",)),
        ([pixels, Image.fromarray(pixels)], ("1", "2")),
        (np.stack([pixels] * 3), ("1", "2", "3")),
        (pixels, ("1",)),
        (Image.open(photos / "x.png"), ("1",)),
    ):
        assert rrzoo.Gallery.build(model, given).sources == expected


@pytest.mark.parametrize("given", [3, None, [None], ["x.png", 3], [datasets.load("clay10", "test"), "x.png"]])
def test_what_no_gallery_is_built_of(model: rrzoo.Model, given: object) -> None:
    with pytest.raises(errors.ArgumentError, match="arrived: give a folder, a data set, or a list of images"):
        rrzoo.Gallery.build(model, given)  # type: ignore[arg-type]


def test_no_images_at_all(model: rrzoo.Model) -> None:
    clay = datasets.load("clay10", "test")
    none = replace(clay, name="none", images=clay.images[:0], labels=clay.require_labels()[:0])
    with pytest.raises(errors.GalleryError, match="none has no images in the splits"):
        rrzoo.Gallery.build(model, none)
    with pytest.raises(errors.GalleryError, match="0 images arrived"):
        rrzoo.Gallery.build(model, [])


def same(one: rrzoo.Gallery, other: rrzoo.Gallery) -> None:
    """Two galleries hold the same."""
    assert (list(one.sources), one.classes) == (list(other.sources), other.classes)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.features(), other.features(), rtol=FLOAT16, atol=FLOAT16)
    for row in range(len(one)):
        assert one._pictures.file(row) == other._pictures.file(row)  # type: ignore[attr-defined]


class Counting:
    """A model that counts what it embeds, and fails after `most` images."""

    def __init__(self, model: rrzoo.Model, most: int = 1_000_000) -> None:
        self.name, self.fingerprint, self.relate_features = model.name, model.fingerprint, model.relate_features
        self.shorter_side = model.shorter_side
        self.has_relation_head, self.embeds_relation = model.has_relation_head, model.embeds_relation
        self.embed_features = model.embed_features
        self.model, self.most, self.embedded = model, most, 0

    def extract(self, images: list[np.ndarray]) -> Features:
        if self.embedded + len(images) > self.most:
            raise KeyboardInterrupt
        self.embedded += len(images)
        return self.model.extract(images)


def test_indexing_a_folder_again_reads_what_changed(
    model: rrzoo.Model, photos: Path, tmp_path: Path, random: np.random.Generator
) -> None:
    saved = tmp_path / "gallery"
    seen: list[tuple[int, int]] = []
    rrzoo.Gallery.index_folder(model, photos, saved, lambda *done: seen.append(done))
    assert seen == [(0, 12), (12, 12)]
    same(rrzoo.Gallery.load(model, saved), rrzoo.Gallery.build(model, photos))

    unchanged = Counting(model)
    rrzoo.Gallery.index_folder(unchanged, photos, saved)
    assert unchanged.embedded == 0

    (photos / "x.png").unlink()
    (photos / "hills" / "far" / "0.png").rename(photos / "sea" / "moved.png")
    Image.fromarray(smooth_image(random, 33, 44)).save(photos / "sea" / "1.png")
    status = (photos / "sea" / "2.png").stat()
    os.utime(photos / "sea" / "2.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    (photos / "new").mkdir()
    Image.fromarray(smooth_image(random, 50, 60)).save(photos / "new" / "a.jpg")
    changed = Counting(model)
    found = rrzoo.Gallery.index_folder(changed, photos, saved)
    assert changed.embedded == 4
    same(found, rrzoo.Gallery.build(model, photos))
    same(rrzoo.Gallery.load(model, saved), found)
    assert found.classes == ("hills", "new", "sea")
    assert sorted(path.name for path in saved.iterdir()) == sorted(storage.files(saved))


def test_an_interrupted_index_goes_on(
    model: rrzoo.Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BATCH", 2)
    saved = tmp_path / "gallery"
    with pytest.raises(KeyboardInterrupt):
        rrzoo.Gallery.index_folder(Counting(model, most=6), photos, saved)
    with pytest.raises(errors.GalleryError, match="so no gallery"):
        rrzoo.Gallery.load(model, saved)
    parts = sorted((saved / ".unfinished").iterdir())
    assert len(parts) == 3
    parts[0].write_bytes(parts[0].read_bytes()[:-9])  # cut: not trusted, its two images are read again
    (saved / ".unfinished" / ".half").write_bytes(b"x")
    rest = Counting(model)
    found = rrzoo.Gallery.index_folder(rest, photos, saved)
    assert rest.embedded == 12 - 6 + 2
    same(found, rrzoo.Gallery.build(model, photos))
    assert not (saved / ".unfinished").exists()


def test_an_older_format_is_indexed_anew(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    for name in storage.FORMAT_1:
        (tmp_path / name).write_bytes(b"IxFI")
    rest = Counting(model)
    rrzoo.Gallery.index_folder(rest, str(photos), str(tmp_path))
    assert rest.embedded == 12
    assert not [name for name in storage.FORMAT_1 if (tmp_path / name).exists()]
    assert len(rrzoo.Gallery.load(model, tmp_path)) == 12


def test_rows_of_another_model_are_not_taken_over(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    (photos / "y.jpg").write_bytes(b"broken")
    with pytest.raises(errors.GalleryError, match="Replace or remove it"):
        rrzoo.Gallery.index_folder(other_model(), photos, tmp_path, strict=True)
    rrzoo.Gallery.index_folder(other_model(), photos, tmp_path)
    found = rrzoo.Gallery.index_folder(model, photos, tmp_path)
    same(found, rrzoo.Gallery.build(model, photos))
    assert len(found.skipped) == 1


def test_killed_while_indexing(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    code = f"""
import rrzoo
from pathlib import Path
from rrzoo.gallery import sources
sources.BATCH = 1
model = rrzoo.load("conv4-cifar10")
saved = Path({str(tmp_path)!r}) / "g"
rrzoo.Gallery.index_folder(model, {str(photos)!r}, saved, lambda *done: print(*done, flush=True))
"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while int(process.stdout.readline().split()[0]) < 4:
            pass
        process.send_signal(signal.SIGKILL)
    rest = Counting(model)
    same(rrzoo.Gallery.index_folder(rest, photos, tmp_path / "g"), rrzoo.Gallery.build(model, photos))
    assert rest.embedded <= 8
