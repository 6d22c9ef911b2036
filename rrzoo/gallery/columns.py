"""Values of a gallery's rows, in several parts, such as files that are mapped: read when they are asked for."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, Union

import numpy as np

BLOCK = 16_384  # rows that are read at once where all are asked for

Values: TypeAlias = Union[np.ndarray, "Column"]
Read: TypeAlias = Callable[[np.ndarray], np.ndarray]  # what becomes of values once they are read, such as a check


class Places(Protocol):
    """Where N rows are, in numbered parts."""

    def __len__(self) -> int:
        """Return N."""

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return of rows, int64 (M,), their parts and their numbers there, int64 (M,) each."""


class InTurn:
    """Parts of so many rows one after another, without those that were removed."""

    def __init__(self, counts: Sequence[int], removed: np.ndarray | None = None) -> None:
        """Take the numbers of removed rows, int64 (R,), counted over all parts, in ascending order."""
        self.removed = np.empty(0, np.int64) if removed is None else removed
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._before = self.removed - np.arange(len(self.removed))  # rows that are left before each removed one

    def __len__(self) -> int:
        """Return N."""
        return int(self._starts[-1]) - len(self.removed)

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of rows, int64 (M,), among all that are there with the removed ones, int64 (M,)."""
        return rows + np.searchsorted(self._before, rows, "right")

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Places.find`."""
        positions = self.positions(rows)
        parts = np.searchsorted(self._starts, positions, "right") - 1
        return parts, positions - self._starts[parts]


class Chosen:
    """Rows in any order, each from any part."""

    def __init__(self, parts: np.ndarray, rows: np.ndarray) -> None:
        """Take parts and numbers there, int64 (N,) each."""
        self.parts, self.rows = parts, rows

    def __len__(self) -> int:
        """Return N."""
        return len(self.rows)

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Places.find`."""
        return self.parts[rows], self.rows[rows]


class Column:
    """Values of N rows, (N, ...), that are read from their parts when rows are asked for."""

    def __init__(self, parts: Sequence[Values], places: Places, read: Read | None = None) -> None:
        """Join parts, each with values of one type; `read` takes those that were asked for, and returns what they are.

        Args:
            parts: at least one.
            places: of the rows.
            read: may raise; without it, values are what they are in their part.
        """
        self.parts, self.places, self._read = parts, places, read

    def __len__(self) -> int:
        """Return N."""
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return len(self), *self.parts[0].shape[1:]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the values of rows: of one, or of an array or a slice of them."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        wanted = np.atleast_1d(np.asarray(rows, np.int64))
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"row {wanted.min()} or {wanted.max()} of {len(self)} was asked for")
        found = self._gather(*self.places.find(wanted))
        if self._read:
            found = self._read(found)
        return found if np.ndim(rows) else found[0]

    def _gather(self, parts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        numbers, of = np.unique(parts, return_inverse=True)
        if len(numbers) < 2:
            return np.asarray(self.parts[numbers[0] if len(numbers) else 0][rows])
        order = np.argsort(of, kind="stable")
        taken = np.split(order, np.searchsorted(of[order], np.arange(1, len(numbers))))
        several = [self.parts[number][rows[some]] for number, some in zip(numbers.tolist(), taken, strict=True)]
        found = np.empty((len(rows), *several[0].shape[1:]), np.result_type(*several))
        for some, values in zip(taken, several, strict=True):
            found[some] = values
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all."""
        found = np.concatenate(list(blocks(self))) if len(self) else self[np.empty(0, np.int64)]
        return found if dtype is None else found.astype(dtype)


def blocks(values: Values, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Yield values a block of rows at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
