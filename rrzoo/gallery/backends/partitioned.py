"""The backend that a gallery has by default: features in parts, each with a FAISS index that suits its size.

A part of up to `EXACT` features is compared whole. Of a larger one, the nearest cells of an inverted file yield
candidates, whose scores are then computed from their features: scores are exact, and of the true neighbours most are
found. Where a search is filtered, or asks for so many that cells don't hold them, all that may be found are compared.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from rrzoo import errors
from rrzoo.gallery.backends.faiss_index import Flat, Index, Inverted
from rrzoo.gallery.backends.protocol import Filter, Limits, check_features, check_search
from rrzoo.gallery.columns import Values

EXACT = 200_000  # features up to which all are compared
RESCORED = 100  # candidates of an inverted file, at least
SPARE = 8  # hits more than asked for, to see whether the last one is tied with what follows
NEAR = 1e-5  # similarities that differ by less may be equal: FAISS's sums depend on the number of queries
BLOCK = 1_000_000  # numbers that are compared at once where similarities are computed again
SCANNED = 16_384  # features that are read at once where all that are chosen are compared


Kept: TypeAlias = Callable[[], Inverted | None]


def _none() -> None:
    return None


class Part:
    """N features, with their index, which is built when it is first searched."""

    def __init__(self, ids: np.ndarray, unit: Values, exact: int | None = None, kept: Kept = _none) -> None:
        """Take features.

        Args:
            ids: int64 (N,), in ascending order but for those that are -1, whose features are not to be found.
            unit: float32 (N, D), of unit length.
            exact: features up to which all are compared, instead of `EXACT`.
            kept: returns the inverted file of a larger part where one was kept.
        """
        self.ids, self.unit, self._kept = ids, unit, kept
        self.exact = len(ids) <= (EXACT if exact is None else exact)
        self._index: Index | None = None
        self._count_present()

    def _count_present(self) -> None:
        present = self.ids >= 0
        self.count = int(present.sum())  # that can be found
        self._present = None if self.count == len(self.ids) else present  # None: all
        self._rows = None if self._present is None else np.flatnonzero(present)
        self._known = self.ids if self._rows is None else self.ids[self._rows]

    def remove(self, ids: np.ndarray) -> None:
        """Let features not be found any more, those of ids that are here."""
        gone = self.rows_of(ids)
        if len(gone):
            self.ids = self.ids.copy()
            self.ids[gone] = -1
            self._count_present()

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the rows of those of ids, int64 (M,), that are here, int64 (L,), in their order."""
        rows, here = self.find(ids)
        return np.asarray(rows[here])

    def find(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of ids, int64 (M,), and whether they are here, bool (M,)."""
        places = np.searchsorted(self._known, ids)
        here = places < len(self._known)
        here[here] = self._known[places[here]] == ids[here]
        rows: np.ndarray = np.where(here, places, 0)
        if self._rows is not None and len(self._rows):
            rows = self._rows[rows]
        return rows, here

    def chosen(self, where: np.ndarray) -> np.ndarray:
        """Return which rows have one of some ids, bool (N,)."""
        found = np.zeros(len(self.ids), bool)
        found[self.rows_of(where)] = True
        return found

    @property
    def index(self) -> Index:
        """What finds candidates. Two threads that ask first at once build it twice, which does no harm."""
        if self._index is None:
            self._index = Flat(self.unit) if self.exact else self._kept() or Inverted.build(self.unit)
        return self._index

    def search(self, queries: np.ndarray, k: int, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return ids, int64 (Q, k or more), and cosines, float32, of candidates that hold the k nearest, in no order.

        `chosen` are rows, bool (N,), None for all; at least k of them are there.
        """
        rows = self._candidates(queries, k, chosen) if len(queries) else np.empty((0, k), np.int64)
        return self.ids[rows], self._similarities(queries, rows)

    def _candidates(self, queries: np.ndarray, k: int, chosen: np.ndarray | None) -> np.ndarray:
        """Return rows that hold the k nearest and all that may be tied with the last of them."""
        count = self.count if chosen is None else int(chosen.sum())
        wanted = min(max(k + SPARE, 0 if self.exact else RESCORED), count)
        scan = chosen is not None and not self.exact
        while True:
            if not scan:
                scores, rows = self.index.search(queries, wanted, self._present if chosen is None else chosen)
                scan = bool((rows < 0).any())  # the cells do not hold so many
            if scan:
                scores, rows = self._scan(queries, wanted, self._present if chosen is None else chosen)
            if wanted == count or (scores[:, -1] < scores[:, k - 1] - NEAR).all():
                return rows
            wanted = min(4 * wanted, count)

    def _scan(self, queries: np.ndarray, k: int, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Compare queries with all chosen rows; see `Index.search`."""
        allowed = np.arange(len(self.ids)) if chosen is None else np.flatnonzero(chosen)
        best = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1)
        for start in range(0, len(allowed), SCANNED):
            some = allowed[start : start + SCANNED]
            scores = np.concatenate([best, queries @ self.unit[some].T], 1)
            numbers = np.concatenate([rows, np.broadcast_to(some, (len(queries), len(some)))], 1)
            order = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            best, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1)
        order = np.argsort(-best, axis=1, kind="stable")
        return np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)

    def _similarities(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return cosines, float32 (Q, M), of queries (Q, D) and rows (Q, M): equal features have equal ones."""
        scores, dimension = np.empty(rows.shape, np.float32), queries.shape[1]
        step = max(1, BLOCK // (rows.shape[1] * dimension))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            unit = self.unit[rows[block].ravel()].reshape(*rows[block].shape, dimension)
            scores[block] = (unit * queries[block, None].astype(np.float64)).sum(2)
        return scores


class Faiss:
    """A backend for up to some 10^7 features."""

    def __init__(self, dimension: int, parts: Sequence[Part] = (), exact: int | None = None) -> None:
        """Begin with some parts whose features have D = `dimension` numbers; no id is in two of them.

        `exact` is up to how many of what is added are compared whole, instead of `EXACT`.
        """
        self.dimension, self._exact = dimension, exact
        self._parts = list(parts)
        self._added: Part | None = None  # the last one, where features were added

    @property
    def limits(self) -> Limits:
        """See `Backend.limits`."""
        exact = all(part.exact for part in self._parts)
        return Limits(exact=exact, largest_k=None, filters=True, columns=False, persistent=False)

    def __len__(self) -> int:
        """Return N."""
        return sum(part.count for part in self._parts)

    def add(self, ids: np.ndarray, unit: np.ndarray) -> int:
        """See `Backend.add`."""
        check_features(ids, unit, self.dimension)
        before = len(self)
        self.remove(ids)
        if self._added:
            kept = self._added.ids >= 0
            ids, unit = np.concatenate([self._added.ids[kept], ids]), np.concatenate([self._added.unit[kept], unit])
            self._parts.remove(self._added)
        order = np.argsort(ids)
        self._added = Part(ids[order], unit[order], self._exact)
        self._parts.append(self._added)
        return len(self) - before

    def remove(self, ids: np.ndarray) -> int:
        """See `Backend.remove`."""
        before = len(self)
        for part in self._parts:
            part.remove(ids)
        return before - len(self)

    def search(
        self, queries: np.ndarray, k: int, where: np.ndarray | Filter | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.search`."""
        check_search(queries, k, self.dimension, self.limits, where)
        assert not isinstance(where, Filter)
        queries = np.ascontiguousarray(queries)
        ids, scores = [np.empty((len(queries), 0), np.int64)], [np.empty((len(queries), 0), np.float32)]
        for part in self._parts:
            chosen = None if where is None else part.chosen(where)
            least = min(k, part.count if chosen is None else int(chosen.sum()))
            if least:
                found, similar = part.search(queries, least, chosen)
                ids.append(found)
                scores.append(similar)
        all_ids, all_scores = np.concatenate(ids, 1), np.concatenate(scores, 1)
        order = np.lexsort((all_ids, -all_scores), axis=1)[:, :k]
        return np.take_along_axis(all_ids, order, 1), np.take_along_axis(all_scores, order, 1)

    def features(self, ids: np.ndarray) -> np.ndarray:
        """See `Backend.features`."""
        found, known = np.empty((len(ids), self.dimension), np.float32), np.zeros(len(ids), bool)
        for part in self._parts:
            rows, here = part.find(ids)
            if here.any():
                found[here] = part.unit[rows[here]]
                known |= here
        if not known.all():
            raise errors.ArgumentError(f"id {ids[~known][0]} is not known: {len(self)} features are there")
        return found
