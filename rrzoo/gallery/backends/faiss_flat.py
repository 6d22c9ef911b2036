"""FAISS's flat index: every feature is compared, so a search is exact. The only file that uses FAISS.

It is built in memory, from features that were checked. FAISS's own files are neither written nor read: its reader
trusts their bytes, and a crafted one makes it crash, or open any file for writing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rrzoo import errors
from rrzoo.gallery.backends.protocol import Limits, check_features, check_search

SPARE = 8  # hits more than asked for, to see whether the last one is tied with what follows
NEAR = 1e-5  # similarities that differ by less may be equal: FAISS's sums depend on the number of queries
BLOCK = 1_000_000  # numbers that are compared at once where similarities are computed again


class FaissFlat:
    """A backend for up to some 10^5 features: rows of the index are in the order of their ids."""

    limits = Limits(exact=True, largest_k=None, filters=True, persistent=False)

    def __init__(self, dimension: int) -> None:
        """Begin with no features, of D = `dimension`."""
        self.dimension = dimension
        self._ids = np.empty(0, np.int64)  # in order; of the index's rows
        self._index = self._build(np.empty((0, dimension), np.float32))

    def __len__(self) -> int:
        """Return N."""
        return len(self._ids)

    def add(self, ids: np.ndarray, unit: np.ndarray) -> int:
        """See `Backend.add`."""
        check_features(ids, unit, self.dimension)
        before, kept = len(self), ~np.isin(self._ids, ids)
        merged = np.concatenate([self._ids[kept], ids])
        order = np.argsort(merged)
        self._index = self._build(np.concatenate([self._unit(np.flatnonzero(kept)), unit])[order])
        self._ids = merged[order]
        return len(self) - before

    def remove(self, ids: np.ndarray) -> int:
        """See `Backend.remove`."""
        before, kept = len(self), ~np.isin(self._ids, ids)
        self._index, self._ids = self._build(self._unit(np.flatnonzero(kept))), self._ids[kept]
        return before - len(self)

    def search(self, queries: np.ndarray, k: int, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.search`."""
        check_search(queries, k, self.dimension, self.limits.largest_k)
        parameters, count = None, len(self)
        if where is not None:
            chosen = np.isin(self._ids, where)
            parameters, count = _only(chosen), int(chosen.sum())
        k = min(k, count)
        if k == 0 or len(queries) == 0:
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        rows = self._candidates(np.ascontiguousarray(queries), k, count, parameters)
        scores = self._similarities(queries, rows)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return self._ids[np.take_along_axis(rows, order, 1)], np.take_along_axis(scores, order, 1)

    def features(self, ids: np.ndarray) -> np.ndarray:
        """See `Backend.features`."""
        unknown = ~np.isin(ids, self._ids)
        if unknown.any():
            raise errors.ArgumentError(f"id {ids[unknown][0]} is not known: {len(self)} features are there")
        return self._unit(np.searchsorted(self._ids, ids))

    def _candidates(self, queries: np.ndarray, k: int, count: int, parameters: Any) -> np.ndarray:
        """Return rows, int64 (Q, k or more), that hold the k nearest and all that may be tied with the last of them."""
        wanted = min(k + SPARE, count)
        while True:
            with _one_thread():
                scores, rows = self._index.search(queries, wanted, params=parameters)
            if wanted == count or (scores[:, -1] < scores[:, k - 1] - NEAR).all():
                return np.asarray(rows)
            wanted = min(4 * wanted, count)

    def _similarities(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return cosines, float32 (Q, k), of queries (Q, D) and rows (Q, k): equal features have equal ones."""
        scores = np.empty(rows.shape, np.float32)
        step = max(1, BLOCK // (rows.shape[1] * self.dimension))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            unit = self._unit(rows[block].ravel()).reshape(*rows[block].shape, self.dimension)
            scores[block] = (unit * queries[block, None].astype(np.float64)).sum(2)
        return scores

    def _unit(self, rows: np.ndarray) -> np.ndarray:
        """Return rows of the index, float32 (M, D)."""
        if len(rows) == 0:
            return np.empty((0, self.dimension), np.float32)
        return np.asarray(self._index.reconstruct_batch(rows))

    def _build(self, unit: np.ndarray) -> Any:
        index = _faiss().IndexFlatIP(self.dimension)
        index.add(np.ascontiguousarray(unit))
        return index


def _faiss() -> Any:
    """Import FAISS when it is first needed: it is slow to import, and its types are those of C++."""
    import faiss

    return faiss


def _only(rows: np.ndarray) -> Any:
    """Return the parameters of a search among rows, bool (N,)."""
    faiss = _faiss()
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(rows, bitorder="little")))


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
