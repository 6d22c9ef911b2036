"""Embedding on a Ray cluster: the rows of one process, whatever becomes of a node; one line of what goes wrong."""

import importlib.util
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import REPOSITORY, Outcome, need, run_python, smooth_image
from rrzoo import errors
from rrzoo.gallery import cluster, remote, stores

COUNT = 20  # pictures that can be read
BATCH = 2  # pictures of a fragment
MARK = "RRZOO_TEST_CLUSTER"  # of the environment of all processes of a cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of two labels, large enough to keep a node at work, and one that is broken."""
    folder = tmp_path_factory.mktemp("cluster") / "photos"
    random = np.random.default_rng(5)
    for number in range(COUNT):
        path = folder / ("sea" if number % 2 else "wood") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(random, 600, 800)).save(path, compress_level=1)
    (folder / "sea" / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture(autouse=True)
def small_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrzoo.gallery.sources.BATCH", BATCH)


def left(mark: str) -> list[int]:
    """Return the processes of a cluster that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait for it: a busy machine tells late who died."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
    return condition()


def are_gone(mark: str) -> bool:
    return comes_true(lambda: not left(mark))


class Ray:
    """A cluster of a head that does no work, one node, and such as a test adds."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        # a busy machine answers late, which is no death; a killed process's port refuses at once, and twice in a second
        health = {"health_check_period_ms": 200, "health_check_timeout_ms": 30_000, "health_check_initial_delay_ms": 0}
        self.store = {"object_store_memory": 80_000_000, "include_dashboard": False}
        self.cluster = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": health, **self.store})
        self.address: str = self.cluster.address
        self.add()

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, **self.store)

    def kill(self, node: Any) -> None:
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Ray]:
    need(importlib.util.find_spec("ray") is not None, "ray: pip install 'rrzoo[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        mark = uuid.uuid4().hex
        for name, value in {
            **cluster.ENVIRONMENT,
            MARK: mark,
            "PYTHONPATH": str(REPOSITORY),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            patch.setenv(name, value)
        started = Ray()
        yield started
        started.cluster.shutdown()
        assert are_gone(mark)


Content = dict[str, tuple[str | None, np.ndarray, bytes]]


def content(gallery: rrzoo.Gallery) -> Content:
    """Return label, features and thumbnail of all pictures, by source."""
    labels = [gallery.classes[label] if label >= 0 else None for label in gallery.labels.tolist()]
    thumbnails = [np.asarray(gallery.thumbnail(row)).tobytes() for row in range(len(gallery))]
    found = dict(zip(gallery.sources, zip(labels, gallery.unit(), thumbnails, strict=True), strict=True))
    assert len(found) == len(gallery)  # none is doubled
    return found


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory, model: rrzoo.Model) -> Content:
    """What one process writes into a store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rrzoo.gallery.sources.BATCH", BATCH)
        return content(stores.index_folder(model, folder, f"lance:{tmp_path_factory.mktemp('plain') / 'store'}"))


def is_same(found: Content, expected: Content, tolerance: float = 1e-6) -> None:
    assert found.keys() == expected.keys()
    for source, (label, unit, thumbnail) in expected.items():
        assert (found[source][0], found[source][2]) == (label, thumbnail)
        np.testing.assert_allclose(found[source][1], unit, atol=tolerance)


@pytest.mark.slow
def test_the_rows_are_those_of_one_process(
    ray_cluster: Ray, folder: Path, expected: Content, lance_folder: str, tmp_path: Path, model: rrzoo.Model
) -> None:
    seen: list[tuple[int, int]] = []
    with cluster.connected(ray_cluster.address, folder) as nodes:
        assert str(nodes) == "Ray: 1 node, 1 CPU"
        gallery = stores.index_folder(
            model, folder, lance_folder, lambda *done: seen.append(done), batches_of=nodes.batches
        )
        of_files = rrzoo.Gallery.index_folder(model, folder, tmp_path / "gallery", batches_of=nodes.batches)
        with pytest.raises(errors.GalleryError, match=r"broken\.png: .*without strict=True"):
            stores.index_folder(model, folder, f"{lance_folder}-strict", strict=True, batches_of=nodes.batches)
        elsewhere = cluster.Nodes("/nowhere", "auto")
        with pytest.raises(errors.GalleryError, match=r"^the node .* does not see /nowhere: mount it"):
            stores.index_folder(model, folder, f"{lance_folder}-unseen", batches_of=elsewhere.batches)
        with pytest.raises(errors.ArgumentError, match=r"^--device cuda: no GPU is among"):
            cluster.Nodes(folder, "cuda")
    is_same(content(gallery), expected)
    (skipped,) = gallery.skipped
    assert skipped.startswith(f"{folder}/sea/broken.png: broken.png is not an image")
    assert (seen[0], seen[-1], seen) == ((0, COUNT + 1), (COUNT + 1, COUNT + 1), sorted(seen))
    is_same(content(of_files), expected, 1e-3)  # float16 on disk


@pytest.fixture
def shards(folder: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of two shards on an S3 server, which hold the pictures and their labels."""
    from pyarrow.fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    files = S3FileSystem(endpoint_override=s3, scheme="http")
    paths = sorted(folder.rglob("*.png"))
    for number in range(2):
        with (
            files.open_output_stream(f"galleries/shards/{number}.tar") as stream,
            tarfile.open(fileobj=stream, mode="w|") as tar,
        ):
            for path in paths[number::2]:
                tar.add(path, path.name)
                label = tarfile.TarInfo(f"{path.stem}.cls")
                label.size = len(path.parent.name)
                tar.addfile(label, io.BytesIO(path.parent.name.encode()))
    yield f"s3://galleries/shards?endpoint_override={s3}&scheme=http&region=us-east-1"
    files.delete_dir("galleries/shards")
    remote.addresses.open_address.cache_clear()


@pytest.mark.slow
def test_shards_in_object_storage(ray_cluster: Ray, shards: str, lance_bucket: str, model: rrzoo.Model) -> None:
    """Read from object storage and written into it, by one process and by the nodes."""
    plain = lance_bucket.replace("?", "-plain?")
    there = stores.index_folder(model, shards, plain)
    assert (len(there), there.classes, len(there.skipped)) == (COUNT, ("sea", "wood"), 1)
    counted: list[tuple[int, int]] = []
    stores.index_folder(model, shards, plain, lambda *done: counted.append(done))
    assert counted[0] == (COUNT, COUNT + 1)  # but for the broken one, all is known
    with cluster.connected(ray_cluster.address, shards) as nodes:
        gallery = stores.index_folder(model, shards, lance_bucket, batches_of=nodes.batches)
    is_same(content(gallery), content(there))


class Doomed:
    """A model that embeds on all nodes but one: there it begins, and is never done. The others wait for that."""

    def __init__(self, model: rrzoo.Model, node: str, begun: Path) -> None:
        self.model, self.node, self.begun = model, node, begun

    def __getattr__(self, name: str) -> Any:
        if name == "model" or name.startswith("__"):  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.model, name)

    def extract(self, images: Any) -> Any:
        import ray

        if ray.get_runtime_context().get_node_id() == self.node:
            self.begun.touch()
            time.sleep(600)
        deadline = time.monotonic() + 120
        while not self.begun.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.model.extract(images)


@pytest.mark.slow
def test_a_node_is_killed_in_the_middle(
    ray_cluster: Ray, folder: Path, expected: Content, lance_folder: str, tmp_path: Path, model: rrzoo.Model
) -> None:
    from ray import cloudpickle

    node = ray_cluster.add()
    doomed, killed = Doomed(model, node.node_id, tmp_path / "begun"), []

    def kill(done: int, count: int) -> None:
        if done and not killed:
            assert doomed.begun.exists()
            ray_cluster.kill(node)
            killed.append(done)

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes know no tests
    with cluster.connected(ray_cluster.address, folder) as nodes:
        assert nodes.cpus == 2
        gallery = stores.index_folder(doomed, folder, lance_folder, kill, batches_of=nodes.batches)
        assert comes_true(lambda: nodes._slots() == 1)
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert killed[0] <= 2 * BATCH
    is_same(content(gallery), expected)


INTERRUPTED = """
import os, signal, sys
import rrzoo
from rrzoo.gallery import cluster, sources, stores
from rrzoo.gallery.stores import writing

address, folder, store = sys.argv[1:]
sources.BATCH, writing.WRITTEN, writing.MOST = 2, 4, 4
with cluster.connected(address, folder) as nodes:
    stores.index_folder(
        rrzoo.load("conv4-cifar10"), folder, store,
        lambda done, count: os.kill(os.getpid(), signal.SIGKILL) if done >= 12 else None,
        batches_of=nodes.batches,
    )
"""


@pytest.mark.slow
def test_the_process_that_writes_is_killed(
    ray_cluster: Ray, folder: Path, expected: Content, lance_folder: str, model: rrzoo.Model
) -> None:
    argv = [sys.executable, "-c", INTERRUPTED, ray_cluster.address, str(folder), lance_folder]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen: list[tuple[int, int]] = []
    with cluster.connected(ray_cluster.address, folder) as nodes:
        gallery = stores.index_folder(
            model, folder, lance_folder, lambda *done: seen.append(done), batches_of=nodes.batches
        )
    assert 8 <= seen[0][0] < COUNT  # what was written is not embedded again
    is_same(content(gallery), expected)


@pytest.mark.slow
def test_the_command_on_this_machine_alone(folder: Path, lance_folder: str, tmp_path: Path, model: rrzoo.Model) -> None:
    """Named by a path from here, though nodes work in other folders; all processes end with the command."""
    need(importlib.util.find_spec("ray") is not None, "ray: pip install 'rrzoo[ray]'")
    mark = uuid.uuid4().hex
    argv = [sys.executable, "-m", "rrzoo", "index", folder.name, "--model", model.name, "--store", lance_folder]
    environment = {**os.environ, MARK: mark, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [*argv, "--ray"], cwd=folder.parent, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first == "Ray: 1 node, 2 CPUs"
    assert second.startswith(f"{COUNT} images of {folder} in ")
    assert [line for line in done.stderr.split() if line == "indexing:"]  # the bar,
    assert [line for line in re.split(r"[\r\n]+", done.stderr) if not line.startswith("indexing:")] == ["", ""]  # alone
    assert are_gone(mark)
    assert len(stores.open_gallery(model, lance_folder)) == COUNT


def test_ray_is_imported_where_it_is_asked_for_alone() -> None:
    assert run_python("import sys, rrzoo.commands.index; print('ray' in sys.modules)") == "False\n"


def test_without_ray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(errors.ArgumentError, match=r"takes one more package, ray: pip install 'rrzoo\[ray\]'$"),
        cluster.connected("", folder),
    ):
        pass


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of a server that is no cluster."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


def test_what_is_refused(folder: Path, web_server: int, run_command: Callable[..., Outcome]) -> None:
    need(importlib.util.find_spec("ray") is not None, "ray: pip install 'rrzoo[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobodys = closed.getsockname()[1]
    for argv, says in (
        ((folder, "--ray", f"127.0.0.1:{nobodys}"), f"no Ray cluster answers at 127.0.0.1:{nobodys} ("),
        ((folder, "--ray", f"127.0.0.1:{web_server}"), f"what answers at 127.0.0.1:{web_server} is no Ray cluster"),
        ((folder, "--ray", "no.such.host.example:6379"), "no Ray cluster answers at no.such.host.example:6379 ("),
        ((folder, "--ray", "ray://head:10001"), "'ray://head:10001' is no address of a Ray cluster: write HOST:PORT"),
        ((folder, "--ray", "auto"), "'auto' is no address of a Ray cluster"),
        (("--ray", folder), "was taken as the address of --ray"),
        (("clay10", "--ray"), "clay10 is none of these: leave --ray away"),
    ):
        done = run_command("index", *argv)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert says in done.err
