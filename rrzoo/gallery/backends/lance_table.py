"""A table of LanceDB, in a folder or in object storage.

A handle sees the table as it was when it was opened, and what it has written itself. Each write is one commit of
Lance's, which is there whole or not at all; versions older than seven days go when the table is tidied.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from rrzoo import errors
from rrzoo.gallery.backends.arrow import array, matrix, values_of
from rrzoo.gallery.backends.lance_connection import PROBLEMS, cells_of_bytes, connect, in_one_line, place_of

TABLE = "pictures"
INDEX = "cells_"  # and how many, the name of the index over vectors
ABOUT = b"rrzoo"  # under which the schema says what the table is of, as JSON
IDS = 10_000  # that one condition names

Column: TypeAlias = str | tuple[str, int]  # a type of Arrow's, or that of numbers, and how many of them each row has


class LanceTable:
    """Rows by id: `id` and `vector`, and columns that say more of them."""

    def __init__(self, address: str, table: Any) -> None:
        """Take what LanceDB has opened."""
        self.address, self._table = address, table
        schema = table.schema
        self.about: dict[str, Any] = json.loads((schema.metadata or {})[ABOUT])
        self.widths: dict[str, int] = {one.name: one.type.list_size for one in schema if hasattr(one.type, "list_size")}
        self.dimension = self.widths["vector"]
        self._schema = schema
        self.cells: int | None = None  # of the index over vectors; None: there is none
        self._look()

    @classmethod
    def open(cls, address: str) -> "LanceTable | None":
        """Open the table of a store; None where there is none.

        Raises:
            errors.ArgumentError: LanceDB is missing, or the address is none.
            errors.GalleryError: it can't be read, or holds a table that rrzoo has not written.
        """
        place = place_of(address)
        if "://" not in place and not Path(place).is_dir():
            return None
        with in_one_line(address, "read"):
            try:
                table = connect(place).open_table(TABLE)
            except ValueError as problem:
                if "was not found" in str(problem):
                    return None
                raise
            try:
                return cls(address, table)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise errors.GalleryError(
                    f"{address} holds a table that rrzoo has not written: name another place"
                ) from None

    @classmethod
    def create(cls, address: str, columns: Mapping[str, Column], about: Mapping[str, Any]) -> "LanceTable":
        """Make the table of a store; if another process has just made it, take that one.

        Args:
            address: of the store.
            columns: name -> type.
            about: what the table is of, as JSON has it.

        Raises:
            errors.ArgumentError, errors.GalleryError: as for `open`, or it can't be written.
        """
        place = place_of(address)
        with in_one_line(address, "written"):
            import pyarrow as pa

            fields = [
                (name, pa.list_(pa.type_for_alias(kind[0]), kind[1]) if isinstance(kind, tuple) else kind)
                for name, kind in columns.items()
            ]
            schema = pa.schema(fields).with_metadata({ABOUT: json.dumps(dict(about))})
            return cls(address, connect(place).create_table(TABLE, schema=schema, exist_ok=True))

    def __len__(self) -> int:
        """Return how many rows there are."""
        with in_one_line(self.address, "read"):
            return int(self._table.count_rows())

    @property
    def version(self) -> int:
        """Lance's number of what this handle sees."""
        return int(self._table.version)

    def count(self, condition: str | None) -> int:
        """Return how many rows fulfil a condition, in Lance's SQL."""
        with in_one_line(self.address, "read"):
            return int(self._table.count_rows(condition))

    def merge(self, values: Mapping[str, Any]) -> int:
        """Write rows; those of an id that is there replace it. Return how many ids are new.

        Args:
            values: column -> what Arrow makes an array of, of vectors float (M, D); what is not there is null.
        """
        with in_one_line(self.address, "written"):
            import pyarrow as pa

            arrays = [array(field, values.get(field.name), len(values["id"])) for field in self._schema]
            rows = pa.table(arrays, schema=self._schema.remove_metadata())
            merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            new = int(merge.execute(rows).num_inserted_rows)
            self._look()
            return new

    def delete(self, ids: np.ndarray) -> int:
        """Remove rows of ids, int64 (M,), that are there; return how many those were."""
        with in_one_line(self.address, "written"):
            gone = sum(int(self._table.delete(is_one_of(some)).num_deleted_rows) for some in _parts(ids))
            self._look()
            return gone

    def nearest(
        self, queries: np.ndarray, count: int, condition: str | None, probes: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the rows with the largest inner products.

        Args:
            queries: float32 (Q, D), Q at least 1.
            count: of rows for each.
            condition: that they fulfil, in Lance's SQL; None: none.
            probes: cells of the index to search; None: all rows are compared.

        Returns:
            ids, int64 (Q, L), vectors, float32 (Q, L, D), and Lance's distances, float32 (Q, L), nearest first. L is
            `count`, or less where no more were found for one of the queries.
        """
        with in_one_line(self.address, "searched"):
            several = len(queries) > 1
            query = self._table.search(list(queries) if several else queries[0], vector_column_name="vector")
            query = query.distance_type("dot").select(["id", "vector", "_distance"]).limit(count)
            query = query.bypass_vector_index() if probes is None else query.nprobes(probes)
            found = (query if condition is None else query.where(condition, prefilter=True)).to_arrow()
            ids, vectors = found["id"].to_numpy(), matrix(found["vector"], self.dimension)
            distances = found["_distance"].to_numpy()
            asked = found["query_index"].to_numpy() if several else np.zeros(len(ids), np.int64)
        of_each = np.bincount(asked, minlength=len(queries))
        order = np.lexsort((distances, asked))
        starts = np.concatenate([[0], np.cumsum(of_each)[:-1]])
        taken = order[(starts[:, None] + np.arange(of_each.min())).ravel()].reshape(len(queries), -1)
        return ids[taken], vectors[taken], distances[taken]

    def scan(self, names: Sequence[str], condition: str | None = None) -> dict[str, Any]:
        """Read columns of all rows, or of those that fulfil a condition: arrays of Arrow, and NumPy's of `_rowid`."""
        with in_one_line(self.address, "read"):
            query = self._table.search().with_row_id(True).select(list(names))
            found = (query if condition is None else query.where(condition)).to_arrow()
            return {name: values_of(found[name]) for name in (*names, "_rowid")}

    def take(self, row_ids: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Read columns of rows by Lance's `_rowid`, uint64 (M,), in their order, as `scan` does."""
        wanted, places = np.unique(row_ids, return_inverse=True)
        with in_one_line(self.address, "read"):
            found = self._table.take_row_ids(wanted.tolist()).with_row_id().select(list(names)).to_arrow()
            order = np.argsort(found["_rowid"].to_numpy())
            if len(order) != len(wanted):
                raise ValueError("rows are gone: open the gallery anew")
            return {name: values_of(found[name].take(order[places])) for name in names}

    def build_index(self, cells: int) -> None:
        """Learn so many cells from the vectors, and put all rows into them, each number as one byte."""
        with in_one_line(self.address, "written"):
            self._table.create_index("vector", config=cells_of_bytes(cells), name=f"{INDEX}{cells}")
            for index in self._table.list_indices():
                if index.name != f"{INDEX}{cells}":
                    self._table.drop_index(index.name)
            self._look()

    def tidy(self) -> None:
        """Join small files, put new rows into the index, and remove versions that are older than seven days.

        Where another process writes meanwhile, that is left to whoever tidies next.
        """
        with in_one_line(self.address, "written"):
            try:
                self._table.optimize()
            except PROBLEMS as problem:
                if "commit conflict" not in str(problem):
                    raise
                self._table.checkout_latest()
            self._look()

    def _look(self) -> None:
        """See which index there is."""
        names = [index.name for index in self._table.list_indices()]
        self.cells = max((int(name.removeprefix(INDEX)) for name in names), default=None)


def is_one_of(ids: np.ndarray) -> str:
    """Return the condition that a row has one of some ids."""
    return f"id IN ({', '.join(map(str, ids.tolist()))})" if len(ids) else "false"


def _parts(ids: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(ids), IDS):
        yield ids[start : start + IDS]
