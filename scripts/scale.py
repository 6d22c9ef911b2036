#!/usr/bin/env python
"""Measure galleries of many pictures: how fast they are saved, opened and searched, and how much a search finds."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

import rrzoo
from rrzoo import datasets, environment, views
from rrzoo.files import new_file
from rrzoo.gallery import kept, storage
from rrzoo.gallery.backends import Faiss
from rrzoo.gallery.blobs import Joined
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.thumbnails import Thumbnails

MODEL = "conv4-cifar10-relation"
GRIDS = {64: 1, 256: 2}  # by the numbers of a feature: cells each way that its last map is pooled to
SPLITS = (("cifar10", "train"), ("cifar10", "test"), ("tinyimagenet", "train"))
QUERIES = 300
K = 10
BATCH = 2_048  # views at a time
NEAR = 1e-4  # a hit whose cosine is lower by less counts as near as the last true one: features are kept as float16

EPILOG = """Pictures are random crops, mirrored and recoloured, of the photographs of CIFAR-10 and Tiny-ImageNet. Other
crops of them search, one at a time. Recall@10 counts hits as near as the tenth true one. Thumbnails are left out.
Features and galleries are kept in --folder: 256 and some 260 bytes a picture with 64 numbers.

  python scripts/scale.py 1000000 10000000 --folder ~/scale
  python scripts/scale.py 1000000 --numbers 256 --folder ~/scale"""


def photographs() -> list[datasets.Dataset]:
    """Return what views are made of."""
    return [datasets.load(dataset, split) for dataset, split in SPLITS]


@torch.inference_mode()
def features(model: rrzoo.Model, rows: int, grid: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the features of `rows` views at least, float32 (B, E), of all photographs by turns."""
    architecture = model.config.architecture
    sources, size = photographs(), architecture.image_size
    model.backbone.to(memory_format=torch.channels_last)
    mean, std = torch.tensor(architecture.mean), torch.tensor(architecture.std)
    each = -(-rows // sum(map(len, sources)))
    for number, source in enumerate(sources):
        for start in range(0, len(source), step := max(1, BATCH // each)):
            some = np.arange(start, min(start + step, len(source)))
            images = torch.from_numpy(np.ascontiguousarray(source.images[some])).permute(0, 3, 1, 2)
            drawn = views.draw(seed, number, some, each, images.shape[2], images.shape[3])
            made = views.make(images, drawn, size, mean, std)
            for block in made.contiguous(memory_format=torch.channels_last).split(512):  # four times as fast
                maps = model.backbone.feature_map(block)
                yield F.normalize(F.adaptive_avg_pool2d(maps, grid).flatten(1)).numpy()


def features_file(model: rrzoo.Model, rows: int, size: int, folder: Path) -> np.ndarray:
    """Return the features of so many pictures, float32 (rows, size), mapped; computed where they are not kept."""
    path = folder / f"features-{rows}-{size}.npy"
    if not path.exists():
        kept, done = np.empty((rows, size), np.float32), 0
        places = np.random.default_rng(0).permutation(rows)  # what is alike does not lie side by side in a gallery
        with tqdm(total=rows, unit=" pictures", desc="features") as bar:
            for some in features(model, rows, GRIDS[size], seed=0):
                here = some[: rows - done]
                kept[places[done : done + len(here)]] = here
                done += len(here)
                bar.update(len(here))
        with new_file(path) as written, written.open("wb") as file:
            np.save(file, kept)
    return np.load(path, mmap_mode="r")


def queries(model: rrzoo.Model, size: int) -> np.ndarray:
    """Return the features that search, float32 (QUERIES, size), of photographs drawn at random."""
    found = np.concatenate(list(features(model, 1, GRIDS[size], seed=1)))
    return found[np.random.default_rng(1).permutation(len(found))[:QUERIES]]


def exact(unit: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the cosine of the K-th nearest of each query, float32 (Q,)."""
    best = np.full((len(asked), K), -1, np.float32)
    for start in range(0, len(unit), 100_000):
        scores = np.concatenate([best, asked @ unit[start : start + 100_000].T], 1)
        best = -np.partition(-scores, K - 1, axis=1)[:, :K]
    return best.min(1)


def memory() -> dict[str, int]:
    """Return this process's memory in MB: of its own, and pages of files that the system can take back."""
    status = Path("/proc/self/status").read_text()
    return {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) // 1024 for name in ("RssAnon", "RssFile")}  # type: ignore[index]


def reopen(folder: Path, asked: Path) -> None:
    """Open a gallery in this process, search it, and print what that took as JSON."""
    model, searching = rrzoo.load(MODEL), np.load(asked)
    Faiss(searching.shape[1]).add(np.arange(len(searching)), searching)  # FAISS's own memory is not the gallery's
    before, begun = memory(), time.perf_counter()
    gallery = rrzoo.Gallery.load(model, folder)
    opened = time.perf_counter() - begun
    holds, begun = memory(), time.perf_counter()
    index = kept.index(folder, storage.open_saved(folder))
    index.search(searching[:1], K)
    first = time.perf_counter() - begun
    times, cosines, busy = [], [], time.process_time()
    for query in searching:
        begun = time.perf_counter()
        _, found = index.search(query[None], K)
        times.append(time.perf_counter() - begun)
        cosines.append(found[0].tolist())
    busy = time.process_time() - busy
    measured = {
        "open_s": opened,
        "first_search_s": first,
        "p50_ms": 1e3 * float(np.median(times)),
        "p95_ms": 1e3 * float(np.percentile(times, 95)),
        "cpu_ms": 1e3 * busy / len(times),
        "memory_before_mb": before,
        "memory_open_mb": holds,
        "memory_searched_mb": memory(),
        "pictures": len(gallery),
        "cosines": cosines,
    }
    print(json.dumps(measured))


def measure(model: rrzoo.Model, rows: int, size: int, folder: Path) -> dict[str, object]:
    """Save, open and search a gallery of so many pictures."""
    unit = features_file(model, rows, size, folder)
    saved, asked = folder / f"gallery-{rows}-{size}", folder / f"queries-{size}.npy"
    searching = queries(model, size)
    np.save(asked, searching)
    found: dict[str, object] = {}
    if not saved.exists():
        nothing = Joined(np.empty(0, np.uint8), np.zeros(rows, np.int64))
        content = Rows(
            unit,
            np.ones(rows, np.float32),
            np.full(rows, -1),
            [f"{row // 1000:05}/{row:08}.jpg" for row in range(rows)],
            np.zeros((rows, 2), np.int64),
            Thumbnails(nothing),
        )
        begun, busy = time.perf_counter(), time.process_time()
        rrzoo.Gallery(model, content, ()).save(saved)
        found |= {"save_s": time.perf_counter() - begun, "save_cpu_s": time.process_time() - busy}
    command = [sys.executable, __file__, "--folder", str(folder), "--reopen", str(saved), str(asked)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cosines = np.array(told.pop("cosines"))
    found["recall"] = float((cosines >= exact(unit, searching)[:, None] - NEAR).mean())
    found["bytes"] = {path.name: path.stat().st_size / rows for path in sorted(saved.iterdir())}
    return found | told


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", type=int, metavar="N", help="pictures of a gallery; several may be given")
    parser.add_argument("--folder", type=Path, required=True, help="keep features and galleries there")
    parser.add_argument("--numbers", type=int, choices=GRIDS, default=64, help="of a feature")
    parser.add_argument("--reopen", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.reopen:
        reopen(*options.reopen)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    model = rrzoo.load(MODEL)
    print(environment.machine())
    for rows in options.rows:
        with environment.keep_memory():
            print(json.dumps(measure(model, rows, options.numbers, options.folder), indent=1))


if __name__ == "__main__":
    main()
