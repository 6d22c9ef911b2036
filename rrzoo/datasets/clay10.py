"""clay10: STL-10's ten classes as rendered clay figures.

The labelled splits ship with the package, on contact sheets. The unlabelled split, figures of further numbers, is
rendered into the cache when it is first asked for.
"""

import contextlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.clay10 import CLASSES, render
from rrzoo.datasets.cache import Decoding, Progress
from rrzoo.datasets.dataset import Dataset, cache_root

SHEETS = Path(__file__).parent.parent / "clay10" / "sheets"
DECODERS = 2  # threads that decode sheets
SIZE = 96  # px, side of one picture
UNLABELED = range(500, 1500)  # numbers of the figures of each class; the sheets have those before
VERSION = 1  # of the pictures: raise it when the renderer draws others


def load(name: str, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of clay10. See `rrzoo.datasets.load`."""
    if split == "unlabeled":
        pictures, labels = _rendered(how.progress), None
    else:
        with ThreadPoolExecutor(DECODERS) as decoders:
            per_class = list(decoders.map(_cut, [SHEETS / split / f"{kind}.webp" for kind in CLASSES]))
        pictures = np.concatenate(per_class)
        labels = np.repeat(np.arange(len(CLASSES)), [len(of_class) for of_class in per_class])
    return Dataset(
        name=name,
        split=split,
        images=pictures,
        labels=labels,
        classes=CLASSES,
        mean=(0.534, 0.540, 0.463),
        std=(0.235, 0.221, 0.266),
        statistics="rrzoo.datasets.dataset.measure of the training split",
        description="clay10 (rendered clay figures)",
        licence="Apache-2.0, as rrzoo itself",
    )


def _cut(path: Path) -> np.ndarray:
    """Cut a contact sheet into its pictures, uint8 (N, 96, 96, 3), row by row."""
    sheet = images.read(path)
    down, across = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
    return sheet.reshape(down, SIZE, across, SIZE, 3).swapaxes(1, 2).reshape(-1, SIZE, SIZE, 3)


def _rendered(progress: Progress | None) -> np.ndarray:
    """Return the unlabelled figures, uint8 (N, 96, 96, 3), mapped from the cache; render them if they are not there."""
    entry = cache_root() / f"clay10-unlabeled-{VERSION}-{len(UNLABELED)}.npy"
    if not entry.exists():
        unfinished = entry.with_name(f".unfinished-{os.getpid()}-{entry.name}")
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            np.save(unfinished, _render_all(progress))
            unfinished.replace(entry)
        except OSError as problem:
            raise errors.DatasetError(
                f"rendered figures can't be kept in {entry.parent} ({problem.strerror or problem}): "
                "make room there, or name a folder on another disk with $RRZOO_CACHE"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
    return np.load(entry, mmap_mode="r", allow_pickle=False)


def _render_all(progress: Progress | None) -> np.ndarray:
    figures = [(kind, number) for kind in CLASSES for number in UNLABELED]
    pictures = np.empty((len(figures), SIZE, SIZE, 3), np.uint8)
    # spawned, since a forked process must not use the threads that torch has started
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        drawn = pool.map(_render, figures, chunksize=10)
        for row, picture in enumerate(progress(drawn, len(figures)) if progress else drawn):
            pictures[row] = picture
    return pictures


def _render(figure: tuple[str, int]) -> np.ndarray:
    return render(*figure, SIZE)
