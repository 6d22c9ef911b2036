"""Images that stay on disk: mapped into memory, and only the rows asked for are copied.

Pages that were read count as this process's memory until they are given back, so a random walk through a large file
would seem to need all of it. They are given back every megabyte; the system still keeps them in its own cache. (It
maps the neighbours of a page along with it: up to 2 MB for an image of 27 kB, on Linux 6.18.)
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrzoo import errors
from rrzoo.images import ImageArray

GIVE_BACK = 1_000_000  # bytes read between two times that pages are given back


class Bytes:
    """A file mapped into memory for reading."""

    def __init__(self, path: Path) -> None:
        """Map all of `path`, which is not empty."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.array = np.frombuffer(self._map, np.uint8)
        self._read = 0

    def took(self, count: int) -> None:
        """Note that `count` bytes were copied out, and give the pages back if those were many."""
        self._read += count
        if self._read > GIVE_BACK and hasattr(mmap, "MADV_DONTNEED"):  # Windows has no such call
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0


class MappedImages:
    """Images of one size in a file: behaves as an uint8 array (N, H, W, 3) that is indexed along its first axis."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: Path, shape: tuple[int, int, int, int], column_major: bool = False) -> None:
        """Map `path`, which holds the bytes of (N, H, W, 3); or, `column_major`, those of (N, 3, W, H)."""
        count, height, width, channels = self.shape = shape
        self._bytes = Bytes(path)
        self._column_major = column_major
        self._stored = self._bytes.array.reshape((count, channels, width, height) if column_major else shape)

    def __len__(self) -> int:
        """Return N."""
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        """Return a copy of one image, uint8 (H, W, 3), or of those of a slice or an array of numbers, (M, H, W, 3)."""
        picked = self._stored[rows]
        copied = np.array(picked.swapaxes(-1, -3) if self._column_major else picked, order="C")
        self._bytes.took(copied.nbytes)
        return copied

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the images, uint8 (H, W, 3)."""
        return (self[row] for row in range(len(self)))


class MixedImages:
    """Images of different sizes in a file: a sequence of uint8 (H, W, 3)."""

    def __init__(self, path: Path, sizes: np.ndarray) -> None:
        """Map `path`, which holds images one after another; `sizes` is int64 (N, 2), height and width of each."""
        self._bytes = Bytes(path)
        self._sizes = sizes
        self._ends = np.cumsum(sizes.prod(1) * 3)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """There is none.

        Raises:
            errors.DatasetError: always; it says how to get images of one size.
        """
        raise errors.DatasetError(
            "the images have different sizes: load them scaled to squares, with datasets.load(..., size=64)"
        )

    def __len__(self) -> int:
        """Return N."""
        return len(self._sizes)

    def __getitem__(self, rows: Any, /) -> Any:
        """Return a copy of one image, or a list of copies for a slice or an array of numbers."""
        if not isinstance(rows, int | np.integer):
            return [self[row] for row in np.arange(len(self))[rows]]
        row = range(len(self))[rows]
        height, width = self._sizes[row]
        end = int(self._ends[row])
        copied = self._bytes.array[end - height * width * 3 : end].reshape(height, width, 3).copy()
        self._bytes.took(copied.nbytes)
        return copied

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the images."""
        return (self[row] for row in range(len(self)))


class Selection:
    """Some of the images of one size that an array holds: behaves as an uint8 array (M, H, W, 3), and copies none."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, images: ImageArray, rows: np.ndarray) -> None:
        """Choose `rows`, int64 (M,), of `images`, (N, H, W, 3)."""
        self._images, self._rows = images, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, H, W, 3)."""
        return (len(self._rows), *self._images.shape[1:])

    def __len__(self) -> int:
        """Return M."""
        return len(self._rows)

    def __getitem__(self, rows: Any, /) -> Any:
        """Return one image, uint8 (H, W, 3), or those of a slice or an array of numbers, (K, H, W, 3)."""
        return self._images[self._rows[rows]]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the images, uint8 (H, W, 3)."""
        return (self._images[row] for row in self._rows)


def by_size(path: Path, sizes: Sequence[tuple[int, int]]) -> MappedImages | MixedImages:
    """Map a file of images one after another, whose heights and widths are `sizes`."""
    if len(set(sizes)) == 1:
        return MappedImages(path, (len(sizes), *sizes[0], 3))
    return MixedImages(path, np.array(sizes, np.int64))
