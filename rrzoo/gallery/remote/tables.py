"""Parquet: one column of image files, as bytes or as the Hub's data sets have them, and perhaps one called `label`."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from rrzoo import errors, images
from rrzoo.gallery.remote.addresses import open_address
from rrzoo.gallery.sources import Picture, Stamp

SUFFIX = ".parquet"
LABELS = ("label", "labels", "cls", "class")  # columns that hold them


@dataclass(frozen=True)
class Cell:
    """Which cell of a table is a picture's file."""

    root: str  # address that was given
    path: str  # of the table, within the file system of `root`
    column: str
    group: int  # of rows
    row: int  # in the group

    def __call__(self, shorter_side: int, notes: list[str]) -> np.ndarray:
        """Read it: see `sources.Picture`."""
        name = PurePosixPath(self.path).name
        try:
            content = _cells(self.root, self.path, self.column, self.group)[self.row].as_py()
        except (OSError, ValueError) as problem:
            raise errors.ImageError(f"{name} can't be read: {errors.first_line(problem)}") from None
        return images.read_bytes(bytes_of(content, name), name, shorter_side, notes)


def of_table(address: str, path: str, name: str, stamp: Stamp) -> Iterator[Picture]:
    """List the pictures of a table; `name` begins their sources."""
    import pyarrow.parquet as parquet

    filesystem, _ = open_address(address)
    with filesystem.open_input_file(path) as opened, parquet.ParquetFile(opened) as table:
        column = image_column(table.schema_arrow, name)
        labels = next((one for one in LABELS if one in table.schema_arrow.names), None)
        names = class_names(table.schema_arrow, labels)
        row = 0
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            values = [None] * count if labels is None else table.read_row_group(group, [labels])[labels].to_pylist()
            for number, value in enumerate(values):
                source = f"{name}/{row}"
                yield Picture(source, stamp, label(value, names), source, Cell(address, path, column, group, number))
                row += 1


def bytes_of(cell: Any, name: str) -> bytes:
    """Return the file that a cell of a column of image files holds."""
    content: bytes | None = cell.get("bytes") if isinstance(cell, dict) else cell
    if not content:
        raise errors.ImageError(f"{name} holds no bytes there")
    return content


def image_column(schema: Any, name: str) -> str:
    """Return the one column that holds image files."""
    from pyarrow import types

    def holds_files(kind: Any) -> bool:
        if types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0 and holds_files(kind.field("bytes").type)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    columns: list[str] = [field.name for field in schema if holds_files(field.type)]
    if len(columns) != 1:
        raise errors.GalleryError(
            f"{name} has {len(columns)} columns of bytes ({', '.join(schema.names)}): one is needed, of image files"
        )
    return columns[0]


def class_names(schema: Any, column: str | None) -> list[str]:
    """Return the names of a column's numbers, as data sets of the Hub keep them; else none."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = about["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return list(names) if known else []


def label(value: object, names: list[str]) -> str | None:
    """Return the label that a cell means, where there is one."""
    if value is None:
        return None
    return str(names[value]) if isinstance(value, int) and 0 <= value < len(names) else str(value)


@functools.lru_cache(4)  # pictures of a group are read one after another, by several threads
def _cells(root: str, path: str, column: str, group: int) -> Any:
    import pyarrow.parquet as parquet

    filesystem, _ = open_address(root)
    with filesystem.open_input_file(path) as opened, parquet.ParquetFile(opened) as table:
        return table.read_row_group(group, [column])[column]
