"""A gallery in a store: a table of LanceDB, in a folder or in object storage, that any number of readers share.

A picture's id is computed from its source, so that whoever writes it gives it the same one, and it is there once. Rows
are in the order of the ids. A gallery sees the table as it was when it was opened.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from rrzoo import errors
from rrzoo.gallery.backends import Lance
from rrzoo.gallery.backends.lance_connection import SCHEME
from rrzoo.gallery.backends.lance_table import LanceTable
from rrzoo.gallery.blobs import Texts
from rrzoo.gallery.indexing import Embedder
from rrzoo.gallery.rows import Reading, Rows
from rrzoo.gallery.stores.columns import Reader, StoredBytes, StoredColumn, Whole
from rrzoo.gallery.thumbnails import Thumbnails

FORMAT = 1  # of the table


@dataclass(frozen=True)
class Stored:
    """What is in a store, as a gallery takes it."""

    rows: Rows
    ids: np.ndarray  # int64 (N,), in ascending order
    classes: tuple[str, ...]
    description: str | None
    folder: str | None
    index: Callable[[], Lance]


def is_store(place: object) -> TypeGuard[str]:
    """Say whether a place is the address of a store."""
    return isinstance(place, str) and place.startswith(SCHEME)


def ids_of(sources: Sequence[str]) -> np.ndarray:
    """Return the ids of pictures, int64 (N,): 63 bits of their sources' SHA-256.

    Raises:
        errors.GalleryError: two have the same, which is to be expected of some 10^9 pictures, not of fewer.
    """
    digests = (hashlib.sha256(source.encode("utf-8", "surrogateescape")).digest() for source in sources)
    ids = np.fromiter((int.from_bytes(digest[:8], "big") >> 1 for digest in digests), np.int64, len(sources))
    if len(np.unique(ids)) < len(ids):
        raise errors.GalleryError("two pictures would have the same id in the store: rename one, or index them apart")
    return ids


def open_table(model: Embedder, address: str) -> LanceTable | None:
    """Open the table of a store for a model; None where there is none.

    Raises:
        errors.GalleryError: it is another model's, or of another format; or it can't be read.
        errors.ArgumentError: LanceDB is missing, or the address is none.
    """
    table = LanceTable.open(address)
    if table is None:
        return None
    about = table.about
    if about.get("format") != FORMAT or not {"model", "fingerprint", "of", "stamped"} <= about.keys():
        raise errors.GalleryError(
            f"{address} holds a table of format {about.get('format')!r:.20}, this version reads {FORMAT}: "
            "upgrade rrzoo, or name another place"
        )
    if about["fingerprint"] != model.fingerprint:
        raise errors.GalleryError(
            f"{address} holds a gallery of another model ({about['model']}, {table.dimension} numbers a picture; its "
            f"features differ from those of {model.name}): name that model with --model, or another store"
        )
    return table


def load(model: Embedder, address: str) -> Stored:
    """Open what is in a store. Of the rows, ids and labels are read.

    Raises:
        errors.GalleryError: there is nothing, or as for `open_table`.
        errors.ArgumentError: as for `open_table`.
    """
    table = open_table(model, address)
    if table is None or len(table) == 0:
        raise errors.GalleryError(
            f"{address} holds no gallery: fill it with: python -m rrzoo index SOURCE --store {address}"
        )
    return opened(table)


def opened(table: LanceTable) -> Stored:
    """Return what is in a table; of the rows, ids and labels are read."""
    found = table.scan(["id", "label"])
    order = np.argsort(found["id"])
    names = found["label"].to_pylist()
    classes = tuple(sorted({name for name in names if name is not None}))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers.get(name, -1) for name in names], np.int64)[order]
    reader = Reader(table, found["_rowid"][order])
    reading = Reading(len(classes), functools.partial(_damaged, table.address))
    width = table.widths.get("relation")
    rows = Rows(
        StoredColumn(reader, "vector", (table.dimension,), reading.unit),
        Whole(reader, ("length",), np.float32, reading.lengths),
        labels,
        Texts(StoredBytes(reader, "source", 16_384)),
        Whole(reader, ("size", "changed"), np.int64) if table.about["stamped"] else None,
        Thumbnails(StoredBytes(reader, "thumbnail", 256)),
        StoredColumn(reader, "relation", (width,), reading.relation) if width else None,
        ahead=reader.read_ahead,
    )
    about = table.about
    return Stored(
        rows, found["id"][order], classes, about.get("description"), about.get("folder"), lambda: Lance(table)
    )


def _damaged(address: str, problem: str) -> errors.GalleryError:
    return errors.GalleryError(f"the gallery in {address} is damaged ({problem}): index it anew into another store")
