"""What FAISS finds among features: all are compared, or those of the nearest cells. The only file that uses FAISS.

FAISS's own files are neither written nor read: its reader trusts their bytes, and a crafted one makes it crash, or open
any file for writing. What is kept of an inverted file are plain arrays, which are checked.
"""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from rrzoo.gallery.columns import Values, blocks

CELLS = 2.0  # cells of an inverted file: so many times the square root of its features
PROBES = 128  # cells that are searched: docs/scale.md has what they find
SAMPLED = 48  # features of a cell, on average, by which cells are learnt
ROUNDS = 8  # of k-means


class Index(Protocol):
    """N features, by number."""

    def search(self, queries: np.ndarray, k: int, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest.

        Args:
            queries: float32 (Q, D).
            k: at most as many as are chosen.
            chosen: bool (N,), of those to search among; None: all.

        Returns:
            scores, float32 (Q, k), highest first, and numbers, int64 (Q, k); -1 where fewer were found.
        """


class Flat:
    """Compares a query with all features."""

    def __init__(self, unit: Values) -> None:
        """Take features, float32 (N, D)."""
        self._index = _faiss().IndexFlatIP(unit.shape[1])
        for some in blocks(unit):
            self._index.add(np.ascontiguousarray(some))

    def search(self, queries: np.ndarray, k: int, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`."""
        parameters = None if chosen is None else _faiss().SearchParameters(sel=_selector(chosen))
        with _one_thread():
            scores, rows = self._index.search(queries, k, params=parameters)
        return np.asarray(scores), np.asarray(rows)


class Inverted:
    """Compares a query with the features in the cells that are nearest to it, each number of a feature as one byte.

    An inverted file (Jegou, Douze & Schmid 2011, Product quantization for nearest neighbor search) of cells by k-means.
    """

    def __init__(self, index: Any) -> None:
        """Take FAISS's index."""
        self._index = index

    @classmethod
    def build(cls, unit: Values) -> "Inverted":
        """Learn cells from a sample of features, float32 (N, D), and put all of them in. It uses all cores."""
        rows, dimension = unit.shape
        cells = max(1, int(CELLS * rows**0.5))
        index = _empty(dimension, cells)
        index.cp.niter, index.cp.spherical, index.cp.min_points_per_centroid = ROUNDS, True, 1
        sample = np.random.default_rng(0).choice(rows, min(rows, SAMPLED * cells), replace=False)
        sample.sort()
        index.train(np.ascontiguousarray(unit[sample]))
        for some in blocks(unit):
            index.add(np.ascontiguousarray(some))
        return cls(index)

    def search(self, queries: np.ndarray, k: int, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`."""
        selector = None if chosen is None else _selector(chosen)
        parameters = _faiss().SearchParametersIVF(nprobe=min(PROBES, self._index.nlist), sel=selector)
        with _one_thread():
            scores, rows = self._index.search(queries, k, params=parameters)
        return np.asarray(scores), np.asarray(rows)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what `from_tensors` takes."""
        faiss, lists = _faiss(), self._index.invlists
        sizes = np.array([lists.list_size(cell) for cell in range(self._index.nlist)], np.int64)
        codes = [
            faiss.rev_swig_ptr(lists.get_codes(cell), int(size) * lists.code_size)
            for cell, size in enumerate(sizes.tolist())
            if size
        ]
        rows = [faiss.rev_swig_ptr(lists.get_ids(cell), int(size)) for cell, size in enumerate(sizes.tolist()) if size]
        return {
            "cells": self._index.quantizer.reconstruct_n(0, self._index.nlist),
            "range": faiss.vector_to_array(self._index.sq.trained),
            "sizes": sizes,
            "codes": np.concatenate(codes),
            "rows": np.concatenate(rows).astype(np.int32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], rows: int, dimension: int) -> "Inverted":
        """Build what `tensors` is of, for so many features; nobody needs to have checked it.

        Raises:
            KeyError, ValueError: it is of something else.
        """
        faiss = _faiss()
        cells, limits, sizes = tensors["cells"], tensors["range"], tensors["sizes"]
        codes, numbers = tensors["codes"], tensors["rows"]
        if cells.dtype != np.float32 or cells.ndim != 2 or cells.shape[1] != dimension or len(cells) == 0:
            raise ValueError(f"cells are {cells.dtype} {cells.shape}")
        if limits.dtype != np.float32 or limits.shape != (2 * dimension,):
            raise ValueError(f"the range is {limits.dtype} {limits.shape}")
        if sizes.dtype != np.int64 or sizes.shape != (len(cells),) or sizes.min() < 0 or sizes.max() > rows:
            raise ValueError(f"sizes are {sizes.dtype} {sizes.shape}")
        if sizes.sum() != rows or codes.dtype != np.uint8 or codes.shape != (rows * dimension,):
            raise ValueError(f"{sizes.sum()} codes are {codes.dtype} {codes.shape}")
        if numbers.dtype != np.int32 or not np.array_equal(np.bincount(numbers, minlength=rows), np.ones(rows)):
            raise ValueError("rows are not each there once")
        if not (np.isfinite(cells).all() and np.isfinite(limits).all()):
            raise ValueError("cells or range are not finite")
        index = _empty(dimension, len(cells))
        index.quantizer.add(np.ascontiguousarray(cells))
        faiss.copy_array_to_vector(np.ascontiguousarray(limits), index.sq.trained)
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        for cell, (start, end) in enumerate(itertools.pairwise(starts)):
            if end > start:
                some = np.ascontiguousarray(numbers[start:end], np.int64)
                code = np.ascontiguousarray(codes[start * dimension : end * dimension])
                index.invlists.add_entries(cell, end - start, faiss.swig_ptr(some), faiss.swig_ptr(code))
        index.ntotal, index.is_trained = rows, True
        return cls(index)


def _empty(dimension: int, cells: int) -> Any:
    """Return an inverted file of no features."""
    faiss = _faiss()
    quantizer, kind = faiss.IndexFlatIP(dimension), faiss.ScalarQuantizer.QT_8bit  # FAISS's wrapper holds on to it
    return faiss.IndexIVFScalarQuantizer(quantizer, dimension, cells, kind, faiss.METRIC_INNER_PRODUCT, False)


def _faiss() -> Any:
    """Import FAISS when it is first needed: it is slow to import, and its types are those of C++."""
    import faiss

    return faiss


def _selector(chosen: np.ndarray) -> Any:
    return _faiss().IDSelectorBitmap(np.packbits(chosen, bitorder="little"))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep FAISS to one thread: for one query, two are slower. OpenMP counts for each calling thread by itself."""
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
