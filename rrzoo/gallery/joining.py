"""Two galleries in memory become one."""

import numpy as np

from rrzoo import errors
from rrzoo.gallery.gallery import Gallery
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.thumbnails import Thumbnails


def join(first: Gallery, second: Gallery) -> Gallery:
    """Return a gallery of the pictures of two, those of `first` before those of `second`; nothing is embedded anew.

    Both have thumbnails of their own and no labels, as galleries of single images have.

    Raises:
        errors.ArgumentError: they are of two models, or of something else.
    """
    rows = [_rows(first), _rows(second)]
    if first.model is not second.model:
        raise errors.ArgumentError("the galleries are of two models: build both with one")
    unit, lengths, labels = (
        np.concatenate([getattr(one, name) for one in rows]) for name in ("unit", "lengths", "labels")
    )
    relation = [one.relation for one in rows if one.relation is not None]
    files = (one.file(row) for one in map(_thumbnails, rows) for row in range(len(one.ends)))
    joined = Rows(
        unit,
        lengths,
        labels,
        (*first.sources, *second.sources),
        None,
        Thumbnails.join(files),
        np.concatenate(relation) if len(relation) == 2 else None,
    )
    return Gallery(first.model, joined, ())


def _rows(gallery: Gallery) -> Rows:
    index = gallery._rows
    parts = gallery.labels, tuple(gallery.sources), None, gallery._thumbnails
    return Rows(index.unit(), index.lengths, *parts, index.relation)


def _thumbnails(rows: Rows) -> Thumbnails:
    if rows.thumbnails is None or (rows.labels >= 0).any():
        raise errors.ArgumentError("only galleries of single images without labels are joined")
    return rows.thumbnails
