"""Bringing the gallery in a store up to date, some thousand pictures at a time: what is written stays written."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from rrzoo import errors
from rrzoo.gallery import indexing
from rrzoo.gallery.backends import Lance
from rrzoo.gallery.backends.lance import columns_of
from rrzoo.gallery.backends.lance_table import LanceTable
from rrzoo.gallery.indexing import Batches, Embedder
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.sources import Picture, PictureSource
from rrzoo.gallery.stores.opening import FORMAT, ids_of, open_table, opened
from rrzoo.progress import OnProgress

WRITTEN = 1_024  # pictures that are written at once, at least
SHARE, MOST = 64, 16_384  # ... or a 64th of those so far, as each write is a file and a version; at most
NO_STAMP = (-1, -1)

Lister = Callable[[Iterable[Rows]], PictureSource]


def index(
    model: Embedder,
    address: str,
    of: str,
    lister: Lister,
    progress: OnProgress | None = None,
    strict: bool = False,
    batches_of: Batches = indexing.batches,
) -> tuple[list[str], list[str]]:
    """Bring the gallery in a store up to date with a source of pictures.

    Pictures that are new there, or whose size or time of change is another, are embedded and written; those that are
    gone are removed. What is written is there for every reader that opens the store from then on, and the next run
    goes on from it.

    Args:
        model: whose features are written.
        address: of the store.
        of: what tells the source from all others: a store holds one.
        lister: lists the source; takes what is known of it.
        progress: called before the first batch, with what need not be embedded, and after each.
        strict: raise where a picture can't be read, instead of leaving it out.
        batches_of: reads and embeds, in this process or, as the `batches` of `rrzoo.gallery.cluster` does, on others.

    Returns:
        pictures that were left out, and notes, as of a `Gallery`.

    Raises:
        errors.GalleryError: the store is another model's or another source's, it can't be written, or no picture can be
            read; or one can't, and `strict` is true.
        errors.ArgumentError: LanceDB is missing, or the address is none.
    """
    table = open_table(model, address)
    if table is not None and table.about["of"] != of:
        raise errors.GalleryError(
            f"{address} holds the gallery of {table.about['of']}, not of {of}: name another store for this one"
        )
    source = replace(lister([opened(table).rows] if table is not None else []), splits=())  # it keeps all thumbnails
    known = _known(table)
    ids, count = ids_of([picture.source for picture in source.pictures]), len(source.pictures)
    stays = np.array([known.get(number) == (picture.stamp or NO_STAMP) for number, picture in _pairs(ids, source)])
    skipped: list[str] = []
    notes = list(source.notes)
    writer = Writer(model, address, of, source, ids, table)
    missing, kept = np.flatnonzero(~stays).tolist(), set(ids[stays].tolist())
    before = count - len(missing)
    if progress:
        progress(before, count)
    for batch, rows in batches_of(model, source, missing, None if strict else skipped, notes, True):
        if rows is not None:
            writer.add(batch.numbers, rows)
            kept.update(ids[batch.numbers].tolist())
        if progress:
            progress(before + batch.done, count)
    writer.flush()
    if not kept:
        raise errors.GalleryError(f"none of the {count} images can be read; {skipped[0] if skipped else ''}")
    writer.finish(np.array([number for number in known if number not in kept], np.int64))
    return skipped, notes


def _pairs(ids: np.ndarray, source: PictureSource) -> Iterable[tuple[int, Picture]]:
    return zip(ids.tolist(), source.pictures, strict=True)


def _known(table: LanceTable | None) -> dict[int, tuple[int, int]]:
    """Return the stamps of what is in a table, by id."""
    if table is None or len(table) == 0:
        return {}
    if not table.about["stamped"]:
        return dict.fromkeys(table.scan(["id"])["id"].tolist(), NO_STAMP)
    found = table.scan(["id", "size", "changed"])
    stamps = zip(found["size"].tolist(), found["changed"].tolist(), strict=True)
    return dict(zip(found["id"].tolist(), stamps, strict=True))


class Writer:
    """Writes rows into a store's table, many at once; the table is made when the first ones are there."""

    def __init__(
        self, model: Embedder, address: str, of: str, source: PictureSource, ids: np.ndarray, table: LanceTable | None
    ) -> None:
        """Take a source and the ids of its pictures, int64 (N,)."""
        self.model, self.address, self.of, self.source, self.ids = model, address, of, source, ids
        self._table = table
        self._pending: list[tuple[list[int], Rows]] = []
        self._written = 0

    def add(self, numbers: list[int], rows: Rows) -> None:
        """Take rows of the source's pictures by number; errors as of `Lance.add`."""
        self._pending.append((numbers, rows))
        if sum(len(some) for some, _ in self._pending) >= max(WRITTEN, min(self._written // SHARE, MOST)):
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        if not self._pending:
            return
        numbers = [number for some, _ in self._pending for number in some]
        several = [rows for _, rows in self._pending]
        if self._table is None:
            self._table = self._create(several[0])
        pictures = [self.source.pictures[number] for number in numbers]
        columns = {
            "label": [picture.label for picture in pictures],
            "source": [picture.source.encode("utf-8", "surrogateescape") for picture in pictures],
            "changed": [picture.stamp and picture.stamp[1] for picture in pictures],
            "size": [picture.stamp and picture.stamp[0] for picture in pictures],
            "length": np.concatenate([np.asarray(rows.lengths) for rows in several]),
            "thumbnail": [file for rows in several if rows.thumbnails for file in rows.thumbnails.files],
        }
        if several[0].relation is not None:
            columns["relation"] = np.concatenate([np.asarray(rows.relation) for rows in several])
        unit = np.concatenate([np.asarray(rows.unit) for rows in several])
        Lance(self._table).add(self.ids[numbers], unit, columns)
        self._written += len(numbers)
        self._pending = []

    def finish(self, gone: np.ndarray) -> None:
        """Remove ids, int64 (M,), and tidy the table where anything was changed."""
        assert self._table is not None
        removed = Lance(self._table).remove(gone) if len(gone) else 0
        if self._written or removed:
            self._table.tidy()

    def _create(self, rows: Rows) -> LanceTable:
        columns = columns_of(rows.unit.shape[1]) | {"size": "int64", "length": "float32", "thumbnail": "binary"}
        if rows.relation is not None:
            columns["relation"] = ("float32", rows.relation.shape[1])
        about = {
            "format": FORMAT,
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "of": self.of,
            "folder": self.source.folder,
            "description": self.source.description,
            "stamped": self.source.pictures[0].stamp is not None,
        }
        table = LanceTable.create(self.address, columns, about)
        if table.about != about:
            raise errors.GalleryError(
                f"another process has just put a gallery of {table.about.get('of')} into {self.address}: "
                "name another store"
            )
        return table
