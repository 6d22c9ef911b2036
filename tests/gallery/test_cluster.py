"""Embedding on a real Ray cluster of several nodes on this machine."""

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from PIL import Image
from ray.cluster_utils import Cluster

import rrzoo
from rrzoo import errors
from rrzoo.gallery import cluster, folders, indexing
from rrzoo.gallery.indexing import Indexed
from rrzoo.gallery.rows import Rows

pytestmark = pytest.mark.slow

PICTURES = 160


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 255, (PICTURES, 24, 24, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).resize((200, 150)).save(folder / f"{number:03}.jpg")
    (folder / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head without processors, and two nodes of one each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    options = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    nodes.worker_nodes_added = [nodes.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(2)]
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def run(model: rrzoo.Model, folder: Path, address: str, **options: Any) -> tuple[Indexed, list[str]]:
    skipped: list[str] = []
    embed_some = functools.partial(cluster.embed, address)
    return indexing.embed(model, folders.of_folder(folder), None, skipped, embed_some=embed_some, **options), skipped


def test_a_node_that_dies_costs_no_row(
    model: rrzoo.Model, photos: Path, nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "FRAGMENT", 8)
    kept: list[int] = []

    def keep(rows: Rows) -> None:
        kept.append(len(rows))
        if len(kept) == 3:  # in the middle: fragments are on both nodes
            threading.Thread(target=nodes.remove_node, args=(nodes.worker_nodes_added[0], False)).start()

    indexed, skipped = run(model, photos, nodes.address, keep=keep)
    here = indexing.embed(model, folders.of_folder(photos), None, []).rows()
    rows = indexed.rows()
    assert list(rows.sources) == list(here.sources)
    assert len(rows) == sum(kept) == PICTURES
    assert np.array_equal(np.asarray(rows.stamps), np.asarray(here.stamps))
    np.testing.assert_allclose(np.asarray(rows.unit), np.asarray(here.unit), atol=1e-5)
    assert [rows.thumbnails.file(row) for row in range(PICTURES)] == [
        here.thumbnails.file(row) for row in range(PICTURES)
    ]
    assert len(skipped) == 1
    assert "broken.jpg is not an image" in skipped[0]
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2  # the head, and one


def test_what_is_known_is_not_sent(model: rrzoo.Model, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = indexing.embed(model, folders.of_folder(photos), None, []).rows()
    asked: list[int] = []

    def nobody(model: Any, source: Any, numbers: list[int], strict: bool, with_relation: bool) -> Iterator[Any]:
        asked.extend(numbers)
        return iter(())

    indexing.embed(model, folders.of_folder(photos), None, [], known=[here], embed_some=nobody)
    assert asked == [PICTURES]  # broken.jpg alone, which is asked for again each time


def test_no_cluster(model: rrzoo.Model, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.GalleryError, match=r"no Ray cluster answers at auto \(.*: start one with ray start"):
        run(model, photos, "auto")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.ArgumentError, match=r"--ray needs the package ray: pip install 'rrzoo\[ray\]'"):
        run(model, photos, "auto")
