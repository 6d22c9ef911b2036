"""Pictures read and embedded on all nodes of a Ray cluster: the only file that imports Ray.

A task of Ray's takes one fragment: as many pictures as one process embeds at once, so that features are the same. The
processes of the nodes keep the model from task to task. Ray shares out the tasks, gives those of a node that died to
others, and fetches what they return; no more are given out than keep all nodes at work. This process alone writes.

Tasks in place of actors, since a call waits for its actor to come back, which it never does where the nodes that are
left have no room for one more; and in place of Ray Data, which does the same, but starts later and says more.
"""

import functools
import importlib.util
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

import rrzoo
from rrzoo import devices, environment, errors
from rrzoo.gallery import indexing, listing
from rrzoo.gallery.cluster_address import require_answer
from rrzoo.gallery.indexing import Embedder
from rrzoo.gallery.reading import Batch
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.sources import Folder, PictureSource

AHEAD = 2  # tasks for each that can run at once
DEVICES = ("auto", "cpu", "cuda")
ENVIRONMENT = {  # of this process, and of what it starts; where it is set, it stays
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the way of later versions, of which Ray else warns
    "RAY_worker_niceness": "0",  # they do the work of this process, which is not niced; else 15
}

Part = tuple[list[int], int, Rows | None]  # numbers within a fragment, pictures so far, rows


@dataclass(frozen=True)
class Fragment:
    """What a task is given beside the model."""

    source: PictureSource  # the fragment's pictures alone
    place: str | None  # the folder or file they are in, which the node has to see; None of what has an address
    device: str
    threads: int
    strict: bool
    rerank: bool


@dataclass(frozen=True)
class Embedded:
    """What a task returns."""

    parts: list[Part]
    skipped: list[str]
    notes: list[str]
    versions: dict[str, str]  # of what computed it


class Nodes:
    """A Ray cluster that this process has joined."""

    def __init__(self, source: Folder, device: str) -> None:
        """Look at what the cluster has; `device` is auto, cpu or cuda.

        Raises:
            errors.ArgumentError: it has no such device.
        """
        self._place = listing.path_of(source)
        workers = _workers()
        self.count = len(workers)
        self.cpus, self.gpus = (sum(one[kind] for one in workers) for kind in (0, 1))
        if device not in DEVICES:
            raise errors.ArgumentError(f"--device {device}: on a cluster choose one of {', '.join(DEVICES)}")
        if device == "cuda" and not self.gpus:
            raise errors.ArgumentError(f"--device cuda: no GPU is among the {self.cpus} CPUs of the cluster")
        if not self.cpus:
            raise errors.ArgumentError("the cluster has no CPUs that work can use: add a node to it")
        self._on_gpus = self.gpus > 0 and device != "cpu"
        self._threads = min(max(1, cpus // gpus) for cpus, gpus in workers if gpus) if self._on_gpus else 1

    def __str__(self) -> str:
        """Say what there is."""
        number, what = (self.gpus, "GPU") if self._on_gpus else (self.cpus, "CPU")
        parts = [(self.count, "node"), (number, what)]
        return "Ray: " + ", ".join(f"1 {one}" if count == 1 else f"{count} {one}s" for count, one in parts)

    def batches(
        self,
        model: Embedder,
        source: PictureSource,
        numbers: Sequence[int],
        skipped: list[str] | None,
        notes: list[str],
        rerank: bool = True,
    ) -> Iterator[tuple[Batch, Rows | None]]:
        """Do what `indexing.batches` does, in no order: each batch is yielded once it is done.

        Raises:
            errors.GalleryError: as there; a node does not see the pictures; or Ray gave a fragment up.
            errors.ArgumentError: a node has other versions.
        """
        import ray

        task = ray.remote(num_cpus=self._threads, num_gpus=int(self._on_gpus), max_calls=0)(_embed)
        held = (ray.put(model),)  # within a tuple, Ray leaves it to the task to fetch it
        rest = iter(range(0, len(numbers), source.batch))
        pending: dict[Any, Sequence[int]] = {}
        done = 0
        while True:
            while len(pending) < AHEAD * self._slots() and (start := next(rest, None)) is not None:
                some = numbers[start : start + source.batch]
                pending[task.remote(held, self._fragment(source, some, skipped is None, rerank))] = some
            if not pending:
                return
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            some, found = pending.pop(ready), _result(ready)
            if skipped is not None:
                skipped += found.skipped
            notes += found.notes
            for places, so_far, rows in found.parts:
                yield Batch([some[place] for place in places], [], done + so_far), rows
            done += len(some)

    def _fragment(self, source: PictureSource, numbers: Sequence[int], strict: bool, rerank: bool) -> Fragment:
        pictures = [source.pictures[number] for number in numbers]
        part = replace(source, pictures=pictures, splits=(), notes=())
        return Fragment(part, self._place, "cuda" if self._on_gpus else "cpu", self._threads, strict, rerank)

    def _slots(self) -> int:
        """Return how many tasks can run at once; nodes come and go."""
        return max(1, sum(gpus if self._on_gpus else cpus for cpus, gpus in _workers()))


@contextmanager
def connected(address: str, source: Folder, device: str = "auto") -> Iterator[Nodes]:
    """Join a Ray cluster, or start one on this machine that ends with the block.

    Args:
        address: of the cluster, HOST:PORT; "": $RAY_ADDRESS, or else a cluster of this machine alone.
        source: what is to be indexed; where it has no address, all nodes have to see it at the same absolute path.
        device: where features are computed: "auto", GPUs where the cluster has some; "cpu"; "cuda".

    Raises:
        errors.ArgumentError: Ray is missing, no cluster answers at the address, or it has no such device.
    """
    if importlib.util.find_spec("ray") is None:
        raise errors.ArgumentError("a cluster takes one more package, ray: pip install 'rrzoo[ray]'")
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address:
        require_answer(address)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    cores = torch.get_num_threads()
    started = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": 200_000_000 + cores * 20_000_000}
    try:
        quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
        ray.init(address=address or "local", **quiet, **({} if address else started))
    except (OSError, RuntimeError, ValueError) as problem:
        what = f"the cluster at {address} can't be joined" if address else "no cluster can be started on this machine"
        raise errors.ArgumentError(f"{what}: {errors.first_line(problem)}") from None
    try:
        yield Nodes(source, device)
    finally:
        ray.shutdown()


def _workers() -> list[tuple[int, int]]:
    """Return CPUs and GPUs of each node that works."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(one["CPU"]), int(one.get("GPU", 0))) for one in alive if one.get("CPU", 0) >= 1]


def _result(ready: Any) -> Embedded:
    """Return what a task returned."""
    import ray

    try:
        found: Embedded = ray.get(ready)
    except ray.exceptions.RayTaskError as problem:
        cause = problem.cause
        if isinstance(cause, errors.RRZooError):
            raise cause from None
        if isinstance(cause, ImportError) or "failed to import on the worker" in str(cause):
            raise errors.ArgumentError(
                f"a node can't run rrzoo ({errors.first_line(cause)}): install rrzoo {rrzoo.__version__} on all nodes"
            ) from None
        raise  # a fault of rrzoo: its trace on the node is needed
    except ray.exceptions.RayError as problem:
        raise errors.GalleryError(
            f"Ray gave up some pictures ({type(problem).__name__}: {errors.first_line(problem)}): what is embedded is "
            "kept, and the same command goes on from it"
        ) from None
    here = _versions()
    if found.versions != here:
        name = next(name for name in here if found.versions.get(name) != here[name])
        raise errors.ArgumentError(
            f"{name} is {found.versions.get(name)} on a node and {here[name]} here: install the same on all nodes"
        )
    return found


def _embed(held: tuple[Any], fragment: Fragment) -> Embedded:
    """Read and embed a fragment; this is what runs on the nodes."""
    if fragment.place is not None and not os.path.exists(fragment.place):  # noqa: PTH110 - of bytes that no Path takes
        raise errors.GalleryError(
            f"the node {socket.gethostname()} does not see {fragment.place}: mount it at the same path on all nodes"
        )
    model = _model(held[0], fragment.device, fragment.threads)
    skipped: list[str] = []
    notes: list[str] = []
    source = fragment.source
    found = indexing.batches(
        model, source, range(len(source.pictures)), None if fragment.strict else skipped, notes, fragment.rerank
    )
    return Embedded([(batch.numbers, batch.done, rows) for batch, rows in found], skipped, notes, _versions())


@functools.lru_cache(1)  # a process on a node works for one run
def _model(reference: Any, device: str, threads: int) -> Any:
    import ray

    torch.set_num_threads(threads)
    model = ray.get(reference)
    return model if device == "cpu" else model.to(devices.pick(device).where)


def _versions() -> dict[str, str]:
    return {"rrzoo": rrzoo.__version__, **environment.versions()}
