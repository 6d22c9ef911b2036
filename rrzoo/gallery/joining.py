"""Two galleries in memory become one."""

from collections.abc import Iterator

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
    if first.model is not second.model:
        raise errors.ArgumentError("the galleries are of two models: build both with one")
    rows = first._kept, second._kept
    unit, lengths, labels = (
        np.concatenate([np.asarray(getattr(one, name)) for one in rows]) for name in ("unit", "lengths", "labels")
    )
    if (labels >= 0).any():
        raise errors.ArgumentError("only galleries of images without labels are joined")
    relation = [np.asarray(one.relation) for one in rows if one.relation is not None]
    joined = Rows(
        unit,
        lengths,
        labels,
        (*first.sources, *second.sources),
        None,
        Thumbnails.join(file for one in rows for file in _files(one)),
        np.concatenate(relation) if len(relation) == 2 else None,
    )
    return Gallery(first.model, joined, ())


def _files(rows: Rows) -> Iterator[bytes]:
    if rows.thumbnails is None:
        raise errors.ArgumentError("only galleries that have thumbnails themselves are joined")
    return (rows.thumbnails.file(row) for row in range(len(rows)))
