"""python -m rrzoo: data sets listed and described, galleries built of them, streamed, opened by name."""

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import smooth_image, write_cifar10
from rrzoo import datasets, errors, training, zoo
from rrzoo.__main__ import main
from rrzoo.config import Recipe
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.evaluation.untrained import measure_untrained
from rrzoo.features import Features
from rrzoo.store.export import export


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def write_small_standin(root: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Write a stand-in of STL-10 with 20, 10 and 30 images; return the last."""
    counts = {"train": 20, "test": 10, "unlabeled": 30}
    monkeypatch.setitem(CATALOGUE, "stl10-standin", replace(CATALOGUE["stl10-standin"], splits=counts))
    folder = root / "stl10-standin" / "stl10_binary"
    folder.mkdir(parents=True)
    for split, count in counts.items():
        images = np.stack([smooth_image(random, 96, 96) for _ in range(count)])
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(1 + row % 10 for row in range(count)))
    return images


def package() -> dict[Path, int]:
    """Return all files of the package, and their sizes."""
    files = Path(rrzoo.__file__).parent.rglob("*")
    return {path: path.stat().st_size for path in files if path.is_file() and path.suffix != ".pyc"}


def test_a_data_set_is_indexed_and_opened_by_name(
    root: Path,
    random: np.random.Generator,
    model: rrzoo.Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unlabeled = write_small_standin(root, random, monkeypatch)
    before = package()
    main(["index", "stl10-standin", "--model", model.name])
    main(["index", "stl10-standin", "--model", model.name, "--split", "unlabeled"])
    printed = capsys.readouterr().out
    assert "30 images of STL-10 stand-in (Tiny-ImageNet and CIFAR-10 photographs), not STL-10 in" in printed
    assert f"python -m rrzoo demo --model {model.name} --gallery stl10-standin-unlabeled" in printed
    assert package() == before

    labelled = zoo.open_gallery(model, "stl10-standin")
    assert labelled.labels.tolist() == [row % 10 for row in range(20)] + [row % 10 for row in range(10)]
    assert labelled.sources[19:21] == ("stl10-standin/train/19", "stl10-standin/test/0")
    found = zoo.open_gallery(model, "stl10-standin-unlabeled")
    assert found.description == datasets.load("stl10-standin", "unlabeled").description
    manifest = json.loads((zoo.gallery_folder(model.name, "stl10-standin-unlabeled") / "manifest.json").read_text())
    assert manifest["description"].endswith("not STL-10")
    ((hit, *_),) = found.search(unlabeled[7])
    assert (hit.row, hit.label, hit.source) == (7, None, "stl10-standin/unlabeled/7")
    assert hit.score == pytest.approx(1, abs=1e-5)
    difference = np.asarray(hit.thumbnail).astype(int) - unlabeled[7]
    assert np.abs(difference).mean() < 6  # WebP at quality 85


class Watched:
    """Images, and a model of them, that note how many were read, and how many at once were embedded."""

    name, fingerprint, has_relation_head, embeds_relation = "watching", "f" * 64, False, True
    shorter_side = 1024

    def __init__(self, model: rrzoo.Model, images: np.ndarray) -> None:
        self.model, self.images, self.shape = model, images, images.shape
        self.read, self.ahead, self.embedded = 0, 0, []
        self.embed_features = model.embed_features

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Any) -> np.ndarray:
        taken = self.images[rows]
        self.read += len(taken) if taken.ndim == 4 else 1
        self.ahead = max(self.ahead, self.read - sum(self.embedded))
        return taken

    def extract(self, images: list[np.ndarray]) -> Features:
        self.embedded.append(len(images))
        return self.model.extract(images)


def test_a_gallery_is_built_a_batch_at_a_time(model: rrzoo.Model) -> None:
    clay = datasets.load("clay10", "test")
    watched = Watched(model, clay.images[:600])
    seen: list[tuple[int, int]] = []
    dataset = replace(clay, name="watched", images=watched, labels=clay.require_labels()[:600])
    built = rrzoo.Gallery.build(watched, dataset, lambda done, total: seen.append((done, total)))
    assert len(built) == 600
    assert watched.embedded == [256, 256, 88]
    assert watched.ahead == 256
    assert seen == [(0, 600), (256, 600), (512, 600), (600, 600)]


def test_a_model_takes_images_a_batch_at_a_time(model: rrzoo.Model, random: np.random.Generator) -> None:
    watched = Watched(model, random.integers(0, 256, (300, 8, 9, 3), dtype=np.uint8))
    features = model.features(watched)  # type: ignore[arg-type]
    assert features.shape == (300, model.backbone.feature_size)
    np.testing.assert_allclose(features, model.features(watched.images), rtol=1e-4, atol=1e-5)


def test_embedding_many_files_says_how_far_it_is(model: rrzoo.Model, photos: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(rrzoo.Model, "batch_size", 3)
    paths = sorted(photos.rglob("*.png"))
    seen: list[tuple[int, int]] = []
    embedded = model.embed(paths, lambda *done: seen.append(done))
    assert seen == [(3, 4), (4, 4)]
    np.testing.assert_allclose(embedded, np.concatenate([model.embed(path) for path in paths]), atol=1e-5)


def test_splits_of_two_data_sets_are_refused(model: rrzoo.Model, root: Path) -> None:
    write_cifar10(root, 1)
    with pytest.raises(errors.GalleryError, match="cifar10 has other classes than clay10"):
        rrzoo.Gallery.build(model, [datasets.load("clay10", "test"), datasets.load("cifar10")])


@pytest.fixture
def photos(tmp_path: Path, random: np.random.Generator) -> Path:
    for name in ("sea/a.png", "sea/b.png", "hill/c.png", "d.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(random, *random.integers(20, 300, 2))).save(path)
    return tmp_path / "photos"


def test_a_folder_is_indexed(model: rrzoo.Model, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "sea" / "b.png").write_bytes(b"broken")
    with pytest.raises(SystemExit, match="2"):
        main(["index", str(photos), "--model", model.name, "--strict"])
    assert "b.png: b.png is not an image" in capsys.readouterr().err
    main(["index", str(photos), "--model", model.name])
    printed = capsys.readouterr().out
    assert "1 images could not be read and are left out:" in printed
    assert f"  {photos}/sea/b.png: b.png is not an image" in printed
    for opened in (
        zoo.open_gallery(model, "photos"),
        zoo.open_gallery(model, zoo.gallery_folder(model.name, "photos")),
    ):
        assert opened.sources == ("d.png", "hill/c.png", "sea/a.png")
        assert [opened.classes[label] if label >= 0 else None for label in opened.labels] == [None, "hill", "sea"]


def test_a_folder_is_searched(model: rrzoo.Model, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(photos / "hill" / "c.png")
    main(["index", str(photos), "--model", model.name])
    main(["index", str(photos), "--model", model.name])
    assert "(0 read, 0 images/s)" in capsys.readouterr().out
    main(["search", image, "--model", model.name, "--gallery", "photos", "-k", "2", "--json"])
    first, second = json.loads(capsys.readouterr().out)
    assert (first["source"], first["label"]) == ("hill/c.png", "hill")
    assert first["score"] == pytest.approx(1, abs=1e-5)
    assert 0 <= second["relation"] <= 1
    main(["search", image, "--model", model.name, "--gallery", str(photos), "--rerank"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "relation", "label", "source"]
    relations = [float(line.split()[1]) for line in lines]
    assert len(relations) == 4
    assert relations == sorted(relations, reverse=True)
    main(["search", image, "--model", model.name])
    assert "clay10/test/" in capsys.readouterr().out


def test_opening_galleries(model: rrzoo.Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(zoo.open_gallery(model, "clay10")) == 1000
    assert len(zoo.open_gallery(model, photos)) == 4
    rrzoo.Gallery.build(model, photos).save(tmp_path / "saved")
    assert len(zoo.open_gallery(model, tmp_path / "saved")) == 4
    rrzoo.Gallery.build(model, photos).save(zoo.gallery_folder(model.name, "holiday"))
    monkeypatch.chdir(tmp_path)
    rrzoo.Gallery.build(model, photos / "sea").save(zoo.gallery_folder(model.name, "photos"))
    assert [len(zoo.open_gallery(model, name)) for name in ("photos", "./photos")] == [2, 4]  # a name, a path
    with pytest.raises(errors.GalleryError, match=r"did you mean holiday.*python -m rrzoo index holidays --model"):
        zoo.open_gallery(model, "holidays")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "stl1", "--model", "conv4-cifar10"], "no data set is called 'stl1': did you mean stl10"),
        (["index", "stl10", "--model", "conv4-cifar10"], "(2.6 GB) with: python -m rrzoo data stl10 --download"),
        (["index", "stl10", "--model", "conv4-cifar"], "did you mean conv4-cifar10"),
        (["index", ".", "--model", "conv4-cifar10", "--split", "train"], "a folder has no splits"),
        (["search", "none.jpg", "--model", "conv4-cifar10"], "none.jpg: there is no such file"),
        (["search", "none.jpg", "--model", "conv4-cifar10", "--gallery", "attic"], "no gallery 'attic'"),
        (["data", "clay10", "--download"], "it ships with rrzoo"),
        (["data", "cifar10"], "(170 MB) with: python -m rrzoo data cifar10 --download"),
    ],
)
def test_wrong_arguments_are_one_line_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_data_sets_are_listed_and_described(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data"])
    listed = capsys.readouterr().out
    assert "stl10           train, test, unlabeled" in listed
    assert [line.split()[0] for line in listed.splitlines()] == list(datasets.names())
    write_cifar10(root, 2)
    (root / "cifar10" / "test" / "cat" / "0000.png").write_bytes(b"")
    main(["data", "cifar10", "--skip-broken"])
    described = capsys.readouterr().out
    assert "train: 20 images, 10 classes, CIFAR-10\n" in described
    assert "test: 19 images, 10 classes, CIFAR-10, 1 unreadable images left out\n" in described
    assert "0000.png" in described
    assert "(0.491, 0.482, 0.447)" in described


def test_no_room_for_a_gallery(model: rrzoo.Model, photos: Path, tmp_path: Path) -> None:
    gallery = rrzoo.Gallery.build(model, photos)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(errors.GalleryError, match=r"can't be written to .* make room there"):
            gallery.save(tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "full").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.GalleryError, match="Not a directory"):
        gallery.save(tmp_path / "file" / "gallery")


def test_the_card_counts_the_images_of_pretraining(tmp_path: Path) -> None:
    clay = datasets.load("clay10", "test")
    unlabelled = replace(clay, images=clay.images[:70], labels=None)
    labelled = replace(clay, images=clay.images[::25], labels=clay.require_labels()[::25])
    recipe = Recipe("conv4", "clay10", 16, views=2, batch_size=32, epochs=1)
    pretrained = training.pretrain(recipe, unlabelled, tmp_path / "run")
    exported = export("conv4-clay10", recipe, pretrained, labelled, labelled, tmp_path / "model")
    assert exported.config.training is not None
    assert exported.config.training.images == 70
    assert exported.evaluation is not None
    assert exported.evaluation.train_images == 40
    right = exported.classify(labelled.images).argmax(1) == labelled.labels
    classes = [right[labelled.labels == number].mean() for number in range(10)]
    assert exported.evaluation.class_accuracy == pytest.approx(classes)


def test_a_model_is_measured_and_used_at_its_test_size(tmp_path: Path) -> None:
    clay = datasets.load("clay10", "test")
    labelled = replace(clay, images=clay.images[::25], labels=clay.require_labels()[::25])
    recipe = Recipe("conv4", "clay10", 16, views=2, batch_size=32, epochs=1)
    pretrained = training.pretrain(recipe, labelled, tmp_path / "run")
    chosen = replace(recipe, test_size=24)
    exported = export("conv4-clay10", chosen, pretrained, labelled, labelled, tmp_path / "model")
    assert exported.preprocess(clay.images[0]).shape == (1, 3, 24, 24)
    assert "scaled to 24 x 24 px" in (tmp_path / "model" / "README.md").read_text()
    assert exported.evaluation is not None
    untrained = measure_untrained(replace(recipe, image_size=24), labelled, labelled)
    known = exported.evaluation.untrained
    assert known is not None
    assert known.random_weights_linear_probe == untrained.random_weights_linear_probe
    assert known.random_weights_knn == untrained.random_weights_knn
