"""Files that claim, or are, more than any memory: refused in one line, at once, before they are read."""

import importlib.util
import json
import os
import resource
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from conftest import REPOSITORY, need
from rrzoo import errors, files
from rrzoo.store import golden, model_folder
from rrzoo.store.load import load
from rrzoo.training import checkpoint

MODEL = REPOSITORY / "tests" / "fixtures" / "0.1.0" / "conv4-cifar10-relation"
HUGE = 10**11  # bytes, in a file that takes no room


def sparse(path: Path, start: bytes = b"") -> None:
    """Make a file that says it has 100 GB."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(HUGE)


def tensors(shape: list[int], name: str = "backbone.conv1.weight", length: int | None = None) -> bytes:
    """Return the head of safetensors with one tensor of bytes."""
    size = int(np.prod([int(side) for side in shape], dtype=object))
    head = json.dumps({name: {"dtype": "U8", "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head


def endless(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder_(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def claims(path: Path) -> None:
    head = tensors([HUGE])
    sparse(path, head)
    os.truncate(path, HUGE + len(head))


def long_head(path: Path) -> None:
    path.write_bytes(tensors([3], length=HUGE))


def giga(path: Path) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(10**9)


DAMAGE: list[Callable[[Path], None]] = [sparse, endless, pipe, folder_, giga]


def refused_at_once(use: Callable[[], object]) -> None:
    """Assert that something raises one line of ours within 2 s and 200 MB."""
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(errors.RRZooError) as caught:
        use()
    assert len(str(caught.value).splitlines()) == 1
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # kB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "m"))


@pytest.mark.parametrize("damage", [*DAMAGE, claims, long_head])
@pytest.mark.parametrize("name", [model_folder.CONFIG, model_folder.WEIGHTS, model_folder.GOLDEN])
def test_of_a_model(folder: Path, damage: Callable[[Path], None], name: str) -> None:
    damage(folder / name)
    refused_at_once(lambda: golden.verify(folder, 1))


@pytest.mark.parametrize("damage", DAMAGE)
def test_of_a_manifest(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / model_folder.MANIFEST)
    refused_at_once(lambda: model_folder.altered(folder))
    assert load(folder).evaluation is None  # what was measured is history, and no reason to refuse a model


@pytest.mark.parametrize("damage", [*DAMAGE, claims, long_head])
@pytest.mark.parametrize("part", ["manifest", "features", "rows", "thumbnails"])
def test_of_a_gallery(model: rrzoo.Model, tmp_path: Path, damage: Callable[[Path], None], part: str) -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    rrzoo.Gallery.from_images(model, [picture]).save(tmp_path / "g")
    (path,) = (tmp_path / "g").glob(f"{part}*")
    damage(path)
    refused_at_once(lambda: rrzoo.Gallery.load(model, tmp_path / "g"))


@pytest.mark.parametrize("damage", [*DAMAGE, claims, long_head])
def test_of_a_checkpoint(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / checkpoint.CHECKPOINT)
    refused_at_once(lambda: checkpoint.read(tmp_path / checkpoint.CHECKPOINT))


@pytest.mark.parametrize(("field", "value"), [("embedding_size", 10**9), ("embedding_size", 10**7), ("pooling", 10**9)])
def test_numbers_that_would_take_the_memory(folder: Path, field: str, value: int) -> None:
    config = json.loads((folder / model_folder.CONFIG).read_text())
    config["architecture"][field] = value
    (folder / model_folder.CONFIG).write_text(json.dumps(config))
    refused_at_once(lambda: load(folder))


def test_a_name_twice_is_refused(folder: Path) -> None:
    text = (folder / model_folder.MANIFEST).read_text()
    (folder / model_folder.MANIFEST).write_text(text.replace('"sha256": {', '"sha256": {"config.json": "0",', 1))
    with pytest.raises(errors.ModelFolderError, match=r"'config\.json' is there twice"):
        model_folder.read_manifest(folder)


def test_a_link_to_a_regular_file_is_read(folder: Path) -> None:
    """The Hub's cache is made of them."""
    (folder / model_folder.CONFIG).rename(folder / "blob")
    (folder / model_folder.CONFIG).symlink_to("blob")
    assert model_folder.read_config(folder).name
    assert files.content(folder / model_folder.CONFIG)


def test_a_size_that_would_take_minutes(tmp_path: Path) -> None:
    """Borrowed backbones are tried with a picture of the size that config.json names."""
    need(importlib.util.find_spec("timm") is not None, "timm")
    folder = Path(shutil.copytree(REPOSITORY / "rrzoo" / "models" / "lite0-stl10", tmp_path / "m"))
    load(folder)  # timm and the weights are loaded
    config = json.loads((folder / model_folder.CONFIG).read_text())
    config["architecture"]["image_size"] = 4096
    (folder / model_folder.CONFIG).write_text(json.dumps(config))
    refused_at_once(lambda: load(folder))
