"""Tables of LanceDB: one column of image files, as in Parquet. What others write meanwhile is not seen."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from rrzoo import errors, images
from rrzoo.gallery.backends.lance_connection import SCHEME, connect, in_one_line, place_of
from rrzoo.gallery.remote import tables
from rrzoo.gallery.sources import Picture

SUFFIX = ".lance"
TOGETHER = 16  # rows that are read at once: those of one batch lie side by side


@dataclass(frozen=True)
class Row:
    """Which row of a table holds a picture's file."""

    address: str  # of the table
    version: int  # of it
    column: str
    ids: tuple[int, ...]  # of the rows that are read at once
    place: int  # of this one among them

    def __call__(self, shorter_side: int, notes: list[str]) -> np.ndarray:
        """Read it: see `sources.Picture`."""
        name = _name(self.address)
        try:
            content = _rows(self.address, self.version, self.column, self.ids)[self.ids[self.place]].as_py()
        except errors.GalleryError as problem:
            raise errors.ImageError(str(problem)) from None
        return images.read_bytes(tables.bytes_of(content, name), name, shorter_side, notes)


def of_table(address: str) -> Iterator[Picture]:
    """List the pictures of a table, lance:FOLDER/NAME.lance or lance:s3://BUCKET/NAME.lance, as it is now.

    Raises:
        errors.ArgumentError: the address names no table or holds a key, or LanceDB is missing.
        errors.GalleryError: it can't be read, or has no column of image files.
    """
    name = _name(address)
    with in_one_line(address, "read"):
        table = _open(address)
        version = table.version
        column = tables.image_column(table.schema, name)
        labels = next((one for one in tables.LABELS if one in table.schema.names), None)
        names = tables.class_names(table.schema, labels)
        changed = next(one["timestamp"] for one in table.list_versions() if one["version"] == version)
        stamp = version, int(changed.timestamp() * 1e9)
        read = table.search().select([labels] if labels else []).with_row_id(True).limit(None).to_arrow()
    ids = read["_rowid"].to_pylist()
    values = read[labels].to_pylist() if labels else [None] * len(ids)
    for start in range(0, len(ids), TOGETHER):
        some = tuple(ids[start : start + TOGETHER])
        for place, value in enumerate(values[start : start + TOGETHER]):
            source = f"{name}/{start + place}"
            row = Row(address, version, column, some, place)
            yield Picture(source, stamp, tables.label(value, names), source, row)


def _name(address: str) -> str:
    return PurePosixPath(_parts(address)[0]).name


def _parts(address: str) -> tuple[str, str]:
    """Return where a table is, and the query, "" for a path: that may hold a question mark."""
    place = place_of(address)
    place, _, query = place.partition("?") if "://" in place else (place, "", "")
    return place, query


def _open(address: str) -> Any:
    """Return a table of LanceDB's as it is now."""
    place, query = _parts(address)
    top, _, last = place.rpartition("/")
    if not last.endswith(SUFFIX) or last == SUFFIX:
        raise errors.ArgumentError(
            f"{address} names no table: write {SCHEME}FOLDER/NAME{SUFFIX}, or {SCHEME}s3://BUCKET/PATH/NAME{SUFFIX}"
        )
    if "://" not in place and not Path(place).is_dir():
        raise errors.GalleryError(f"{address} is not there: name the folder of a table of LanceDB")
    database = top + ("?" + query if query else "") if "://" in place else top or ("/" if place[0] == "/" else ".")
    return connect(database).open_table(last.removesuffix(SUFFIX))


@functools.lru_cache(4)  # readers come again for each batch
def _at(address: str, version: int) -> Any:
    table = _open(address)
    table.checkout(version)
    return table


@functools.lru_cache(8)  # a few threads read rows side by side
def _rows(address: str, version: int, column: str, ids: tuple[int, ...]) -> dict[int, Any]:
    """Return the cells of rows, by their ids."""
    with in_one_line(address, "read"):
        found = _at(address, version).take_row_ids(list(ids)).select([column]).with_row_id().to_arrow()
        return dict(zip(found["_rowid"].to_pylist(), found[column], strict=True))
