"""Embedding on a cluster, by Ray Data: fragments of pictures go to actors that hold the model, rows come back.

This file alone uses Ray. A node that dies costs the fragments that it was working on: Ray gives them to others. What
has come back is kept by the caller, so that a run that was stopped goes on from there.
"""

import contextlib
import importlib.util
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rrzoo import errors
from rrzoo.gallery.indexing import Embedded, Embedder, embed_here
from rrzoo.gallery.sources import PictureSource
from rrzoo.images.parallel import workers

FRAGMENT = 512  # pictures
LOCAL = "local"  # the address of a cluster that is started here, for one run


def embed(
    address: str,
    model: Embedder,
    source: PictureSource,
    numbers: Sequence[int],
    strict: bool,
    with_relation: bool,
) -> Iterator[Embedded]:
    """Yield what `indexing.embed_here` yields, fragment by fragment, in the order in which a cluster has done them.

    Args:
        address: "local"; "auto", for the cluster that this machine belongs to; host:port; or ray://host:port.
        model: is sent to the nodes, each of which needs rrzoo installed and has to reach the pictures.
        source: of the pictures; its readers are sent, too.
        numbers: which of its pictures.
        strict: raise where a picture can't be read.
        with_relation: keep what the relation head takes.

    Raises:
        errors.ArgumentError: Ray is missing.
        errors.GalleryError: there is no cluster, it has no processor, or a picture can't be read and `strict` is true.
    """
    if importlib.util.find_spec("ray") is None:
        raise errors.ArgumentError("--ray needs the package ray: pip install 'rrzoo[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no request to other hosts
    import ray
    import ray.data

    with _connected(ray, address) as machines:
        held = ray.put(pickle.dumps(model))
        starts = range(0, len(numbers), FRAGMENT)
        fragments = [list(numbers[start : start + FRAGMENT]) for start in starts]
        items = [{"fragment": _fragment(source, fragment)} for fragment in fragments]
        results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Actor,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, int(machines.get("CPU", 1)))),
            num_cpus=1,
            num_gpus=1 if machines.get("GPU") else 0,
            fn_constructor_args=(held, strict, with_relation),
        )
        done = 0
        for batch in results.iter_batches(batch_size=1, batch_format=None, prefetch_batches=0):
            places, parts, problem = pickle.loads(batch["embedded"][0].as_py())  # what its own cluster sent
            if problem:
                raise errors.GalleryError(problem)
            for part in parts:
                numbers_there = [places[number] for number in part.numbers]
                yield Embedded(numbers_there, part.rows, done + part.done, part.skipped, part.notes)
            done += len(places)


class _Actor:
    """Holds the model on a node."""

    def __init__(self, held: Any, strict: bool, with_relation: bool) -> None:
        import ray

        self.model: Embedder = pickle.loads(ray.get(held))  # what its own cluster sent
        self.strict = strict
        self.with_relation = with_relation

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        places, source = pickle.loads(batch["fragment"][0])  # what its own cluster sent
        parts, problem = [], None
        try:
            parts = list(embed_here(self.model, source, range(len(places)), self.strict, self.with_relation))
        except errors.GalleryError as error:  # said once, by the caller: a node would be asked again
            problem = str(error)
        return {"embedded": [pickle.dumps((places, parts, problem))]}


def _fragment(source: PictureSource, places: list[int]) -> bytes:
    """Return some pictures of a source as a source of their own, to be sent."""
    part = replace(source, pictures=[source.pictures[place] for place in places], notes=())
    return pickle.dumps((places, part))


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[dict[str, float]]:
    """Connect to a cluster, or start one; yield how much there is of processors, memory, and so on."""
    connected = ray.is_initialized()
    if not connected:
        options: dict[str, Any] = {"num_cpus": workers()} if address == LOCAL else {"address": address}
        if address == LOCAL:
            options["include_dashboard"] = False
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as problem:
            first = next(iter(str(problem).splitlines()), "no answer")
            raise errors.GalleryError(
                f"no Ray cluster answers at {address} ({first[:150]}): start one with ray start --head, or write --ray "
                "alone for one on this machine"
            ) from None
    try:
        machines = ray.cluster_resources()
        if machines.get("CPU", 0) < 1:
            raise errors.GalleryError(f"the Ray cluster at {address} has no processor to give: add a node to it")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield machines
    finally:
        if not connected:
            ray.shutdown()
