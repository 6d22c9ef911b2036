"""Addresses of object storage, opened by pyarrow, and ranges of bytes there."""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from rrzoo import errors, images

LARGEST = 500_000_000  # bytes of one picture's file


@functools.cache
def open_address(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path there."""
    if importlib.util.find_spec("pyarrow") is None:
        raise errors.ArgumentError(f"{address} takes one more package, pyarrow: pip install 'rrzoo[remote]'")
    if "@" in address.partition("?")[0] and "://" in address:
        scheme, _, rest = address.partition("://")
        raise errors.ArgumentError(
            f"the address {scheme}://...@{rest.partition('@')[2]} holds a name or key, which would be written into the "
            "gallery: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or your cloud's own, in the environment instead"
        )
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    try:
        filesystem, path = FileSystem.from_uri(address if "://" in address else str(Path(address).resolve()))
    except (OSError, ArrowException, ValueError) as problem:
        raise errors.GalleryError(f"{address} can't be opened: {errors.first_line(problem)}") from None
    return filesystem, path


@dataclass(frozen=True)
class Range:
    """Where the bytes of a picture's file are."""

    root: str  # address that was given
    path: str  # of the file that holds them, within the file system of `root`
    start: int  # bytes
    size: int

    def __call__(self, shorter_side: int, notes: list[str]) -> np.ndarray:
        """Read it: see `sources.Picture`."""
        name = PurePosixPath(self.path).name
        if self.size > LARGEST:
            raise errors.ImageError(f"{name} has {self.size:,} bytes: at most {LARGEST:,} are read of one picture")
        try:
            with open_address(self.root)[0].open_input_file(self.path) as file:
                file.seek(self.start)
                content = file.read(self.size)
        except OSError as problem:
            raise errors.ImageError(f"{name} can't be read: {errors.first_line(problem)}") from None
        return images.read_bytes(content, name, shorter_side, notes)
