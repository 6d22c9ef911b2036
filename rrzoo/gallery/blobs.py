"""Bytes of a gallery's rows, kept one after another, such as the names of sources and the files of thumbnails."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from rrzoo.gallery.columns import Column, Places


class ByRow(Protocol):
    """Bytes of each of N rows."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, row: int, /) -> bytes:
        """Return those of one row."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield those of all rows."""

    def sizes(self) -> np.ndarray:
        """Return how many each row has, int64 (N,)."""


class Joined:
    """Bytes of N rows, one after another in an array, which may be a file that is mapped."""

    def __init__(self, content: np.ndarray, ends: np.ndarray, damaged: Callable[[str], Exception] = ValueError) -> None:
        """Take what nobody needs to have checked: all bytes, uint8, and where those of each row end, int64 (N,).

        `damaged` makes what is raised where they lie where they can't.
        """
        self.content, self.ends, self._damaged = content, ends, damaged

    def __len__(self) -> int:
        """Return N."""
        return len(self.ends)

    def __getitem__(self, row: int, /) -> bytes:
        """Return the bytes of one row."""
        start, end = int(self.ends[row - 1]) if row else 0, int(self.ends[row])
        self._check(row, start, end)
        return self.content[start:end].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes of all rows."""
        start = 0
        for row, end in enumerate(self.ends.tolist()):
            self._check(row, start, end)
            yield self.content[start:end].tobytes()
            start = end

    def sizes(self) -> np.ndarray:
        """See `ByRow.sizes`."""
        return np.diff(self.ends, prepend=0)

    @classmethod
    def of(cls, parts: Iterable[bytes]) -> "Joined":
        """Put bytes one after another."""
        content, ends = bytearray(), []
        for part in parts:
            content += part
            ends.append(len(content))
        return cls(np.frombuffer(content, np.uint8), np.array(ends, np.int64))

    def check(self) -> None:
        """Refuse ends that are not one after another, up to the last byte."""
        ends = self.ends
        if (ends < 0).any() or (ends[1:] < ends[:-1]).any() or ends[-1] != len(self.content):
            raise self._damaged("do not end one after another")

    def _check(self, row: int, start: int, end: int) -> None:
        if not 0 <= start <= end <= len(self.content):
            raise self._damaged(f"of row {row} do not end one after another")


class Gathered:
    """Bytes of rows that lie in several parts."""

    def __init__(self, parts: Sequence[ByRow], places: Places) -> None:
        """Join parts."""
        self.parts, self.places = parts, places

    def __len__(self) -> int:
        """Return N."""
        return len(self.places)

    def __getitem__(self, row: int, /) -> bytes:
        """Return the bytes of one row."""
        part, place = self.places.find(np.array([row]))
        return self.parts[int(part[0])][int(place[0])]

    def __iter__(self) -> Iterator[bytes]:
        """Yield those of all rows."""
        parts, places = self.places.find(np.arange(len(self)))
        for part, place in zip(parts.tolist(), places.tolist(), strict=True):
            yield self.parts[part][place]

    def sizes(self) -> np.ndarray:
        """See `ByRow.sizes`."""
        return np.asarray(Column([part.sizes() for part in self.parts], self.places))


class Texts(Sequence[str]):
    """Texts of N rows, decoded when they are asked for; equal to any sequence of the same texts."""

    def __init__(self, content: ByRow) -> None:
        """Take their bytes: UTF-8, and what is no UTF-8 as the file system has it."""
        self.content = content

    def __len__(self) -> int:
        """Return N."""
        return len(self.content)

    def __getitem__(self, row: Any) -> Any:
        """Return one text, or those of a slice."""
        if isinstance(row, slice):
            return tuple(self[number] for number in range(*row.indices(len(self))))
        number = row + len(self) if row < 0 else row
        if not 0 <= number < len(self):
            raise IndexError(f"text {row} of {len(self)} was asked for")
        return self.content[number].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """Yield all texts."""
        for content in self.content:
            yield content.decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the first ones."""
        return f"Texts({self[:3]}{', ...' if len(self) > 3 else ''})"
