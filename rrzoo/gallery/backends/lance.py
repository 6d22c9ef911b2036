"""The backend for galleries beyond one machine: a table of LanceDB, which any number of readers share.

Up to `EXACT` rows all are compared with a query. Of more, the nearest cells of Lance's index yield candidates, whose
scores are then computed from their vectors. Where a search is filtered, Lance compares all rows that are left.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rrzoo import errors
from rrzoo.gallery.backends.lance_table import Column, LanceTable, is_one_of
from rrzoo.gallery.backends.protocol import Filter, Limits, check_features, check_search

EXACT = 200_000  # rows up to which all are compared
CELLS = 2.0  # cells of the index: so many times the square root of its rows; of four times the rows it is learnt anew
PROBES = 64  # cells that are searched
RESCORED = 100  # candidates of the index, at least
SPARE = 8  # hits more than asked for, to see whether the last one is tied with what follows
NEAR = 1e-5  # distances that differ by less may be equal
BLOCK = 64  # queries at once
ASKED = {"label": "string", "source": "binary", "changed": "int64"}  # columns that a filter asks about, see `Filter`


class Lance:
    """A backend that is a table of LanceDB."""

    def __init__(self, table: LanceTable, exact: int = EXACT) -> None:
        """Take a table; `exact` is up to how many rows all are compared."""
        self.table, self.dimension, self._exact = table, table.dimension, exact

    @classmethod
    def at(cls, address: str, dimension: int, exact: int = EXACT) -> "Lance":
        """Open the table of a store, or make one; errors as of `LanceTable`."""
        return cls(LanceTable.open(address) or LanceTable.create(address, columns_of(dimension), {}), exact)

    @property
    def limits(self) -> Limits:
        """See `Backend.limits`."""
        return Limits(exact=self.table.cells is None, largest_k=None, filters=True, columns=True, persistent=True)

    def __len__(self) -> int:
        """Return N."""
        return len(self.table)

    def add(self, ids: np.ndarray, unit: np.ndarray, columns: Mapping[str, Any] | None = None) -> int:
        """See `Backend.add`; `columns` are values of the table's other columns, M each."""
        check_features(ids, unit, self.dimension)
        if len(ids) == 0:
            return 0
        new = self.table.merge({**(columns or {}), "id": ids, "vector": unit})
        rows = len(self)
        cells = int(CELLS * rows**0.5)
        if rows > self._exact and cells >= 2 * (self.table.cells or 0):
            self.table.build_index(cells)
        return new

    def remove(self, ids: np.ndarray) -> int:
        """See `Backend.remove`."""
        return self.table.delete(ids)

    def search(
        self, queries: np.ndarray, k: int, where: np.ndarray | Filter | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.search`."""
        check_search(queries, k, self.dimension, self.limits, where)
        condition = None if where is None else condition_of(where) if isinstance(where, Filter) else is_one_of(where)
        if len(queries) == 0:
            hits = min(k, self.table.count(condition))
            return np.empty((0, hits), np.int64), np.empty((0, hits), np.float32)
        blocks = (queries[start : start + BLOCK] for start in range(0, len(queries), BLOCK))
        ids, scores = zip(*(self._search(np.ascontiguousarray(some), k, condition) for some in blocks), strict=True)
        return np.concatenate(ids), np.concatenate(scores)

    def _search(self, queries: np.ndarray, k: int, condition: str | None) -> tuple[np.ndarray, np.ndarray]:
        probes = PROBES if self.table.cells is not None and condition is None else None
        wanted = k + SPARE if probes is None else max(k + SPARE, RESCORED)
        while True:
            ids, unit, distances = self.table.nearest(queries, wanted, condition, probes)
            if ids.shape[1] < wanted and probes is not None:
                probes = None  # the cells do not hold so many
            elif ids.shape[1] < wanted or (distances[:, -1] > distances[:, k - 1] + NEAR).all():
                break
            else:
                wanted *= 4
        scores = (unit * queries[:, None].astype(np.float64)).sum(2).astype(np.float32)
        order = np.lexsort((ids, -scores), axis=1)[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)

    def features(self, ids: np.ndarray) -> np.ndarray:
        """See `Backend.features`."""
        wanted, places = np.unique(ids, return_inverse=True)
        found = self.table.scan(["id", "vector"], is_one_of(wanted))
        unknown = np.setdiff1d(wanted, found["id"])
        if len(unknown):
            raise errors.ArgumentError(f"id {unknown[0]} is not known: {len(self)} features are there")
        vectors: np.ndarray = found["vector"][np.argsort(found["id"])[places]]
        return vectors


def columns_of(dimension: int) -> dict[str, Column]:
    """Return the columns that each table has, and their types, for features of so many numbers."""
    return {"id": "int64", "vector": ("float32", dimension), **ASKED}


def condition_of(asked: Filter) -> str:
    """Return a filter in Lance's SQL."""
    parts = ["true"]
    if asked.labelled:
        parts.append("label IS NOT NULL")
    if asked.label is not None:
        parts.append("label = '" + asked.label.replace("'", "''") + "'")
    if asked.newer is not None:
        parts.append(f"changed >= {asked.newer}")
    if asked.older is not None:
        parts.append(f"changed < {asked.older}")
    if asked.prefix:
        first = asked.prefix.encode("utf-8", "surrogateescape")
        after = first.rstrip(b"\xff")
        parts.append(f"source >= X'{first.hex()}'")
        if after:
            parts.append(f"source < X'{(after[:-1] + bytes([after[-1] + 1])).hex()}'")
    return " AND ".join(parts)
