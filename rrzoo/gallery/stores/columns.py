"""Columns of a store's table, by row of a gallery."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rrzoo.gallery.backends.lance_table import LanceTable
from rrzoo.gallery.columns import Column, InTurn, Read

SHOWN = ("source", "thumbnail")  # columns that are read at once of rows that are shown


class Reader:
    """Reads columns of a table by row."""

    def __init__(self, table: LanceTable, row_ids: np.ndarray) -> None:
        """Take Lance's numbers of N rows, uint64 (N,)."""
        self.table, self.row_ids = table, row_ids
        self._ahead: tuple[np.ndarray, dict[str, Any]] = np.empty(0, np.int64), {}

    def take(self, rows: np.ndarray, name: str) -> Any:
        """Return values of rows, int64 (M,)."""
        known, values = self._ahead
        if name in values and len(known) and np.isin(rows, known).all():
            column = values[name]
            return column.take(np.searchsorted(known, rows))
        return self.table.take(self.row_ids[rows], [name])[name]

    def all(self, name: str) -> np.ndarray:
        """Return numbers of all rows, (N, ...)."""
        found = self.table.scan([name])
        order = np.argsort(found["_rowid"])
        return np.asarray(found[name])[order[np.searchsorted(found["_rowid"], self.row_ids, sorter=order)]]

    def read_ahead(self, rows: np.ndarray) -> None:
        """Read at once what is shown of rows, int64 (M,), in ascending order; another call forgets them."""
        self._ahead = rows, self.table.take(self.row_ids[rows], SHOWN) if len(rows) else {}


class StoredColumn(Column):
    """Vectors of N rows, which are read when they are asked for."""

    def __init__(self, reader: Reader, name: str, shape: tuple[int, ...], read: Read | None = None) -> None:
        """Take a column's name, and the shape of each of its values; `read` is as of `Column`."""
        rows = np.arange(len(reader.row_ids))
        super().__init__([rows], InTurn([len(rows)]), read)
        self._reader, self._name, self._shape = reader, name, shape

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return len(self), *self._shape

    def _gather(self, parts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if len(rows) == 0:
            return np.empty((0, *self._shape), np.float32)
        return np.asarray(self._reader.take(rows, self._name))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all at once."""
        found = self._reader.all(self._name)
        found = self._read(found) if self._read else found
        return found if dtype is None else found.astype(dtype)


class Whole(Column):
    """Numbers of N rows, which are read all when the first ones are asked for."""

    def __init__(self, reader: Reader, names: Sequence[str], dtype: Any, read: Read | None = None) -> None:
        """Take the names of columns: of one, values are (N,), of several (N, columns)."""
        rows = np.arange(len(reader.row_ids))
        super().__init__([rows], InTurn([len(rows)]), read)
        self._reader, self._names, self._dtype = reader, tuple(names), dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """(N,) or (N, columns)."""
        return (len(self),) if len(self._names) == 1 else (len(self), len(self._names))

    @functools.cached_property
    def _values(self) -> np.ndarray:
        columns = [self._reader.all(name).astype(self._dtype) for name in self._names]
        return columns[0] if len(columns) == 1 else np.stack(columns, 1)

    def _gather(self, parts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._values[rows])


class StoredBytes:
    """Bytes of N rows, see `blobs.ByRow`, which are read when they are asked for."""

    def __init__(self, reader: Reader, name: str, block: int) -> None:
        """Take a column's name, and how many rows are read at once where all are asked for."""
        self._reader, self._name, self._block = reader, name, block

    def __len__(self) -> int:
        """Return N."""
        return len(self._reader.row_ids)

    def __getitem__(self, row: int, /) -> bytes:
        """Return the bytes of one row."""
        return bytes(self._reader.take(np.array([row]), self._name)[0].as_py() or b"")

    def __iter__(self) -> Iterator[bytes]:
        """Yield those of all rows."""
        for start in range(0, len(self), self._block):
            rows = np.arange(start, min(start + self._block, len(self)))
            for value in self._reader.take(rows, self._name):
                yield value.as_py() or b""

    def sizes(self) -> np.ndarray:
        """See `blobs.ByRow.sizes`."""
        return np.fromiter(map(len, self), np.int64, len(self))
