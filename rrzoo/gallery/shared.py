"""Indexing by several ranks: each reads and embeds its share of the pictures, and the first has a gallery of all.

Shares are dealt out in batches. So features are those of one process, to the last bit where that has as many threads,
and where no batch ends early for large pictures or broken ones; else up to rounding.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rrzoo import environment, errors, ranks
from rrzoo.gallery import indexing, listing, sources, storage, updating
from rrzoo.gallery.gallery import Gallery
from rrzoo.gallery.indexing import Embedder, Indexed
from rrzoo.gallery.reading import Batch
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.sources import Buildable, Folder, PictureSource
from rrzoo.gallery.unfinished import Unfinished
from rrzoo.progress import OnProgress


def index_folder(
    model: Embedder,
    source: Folder,
    saved: Path,
    progress: OnProgress | None = None,
    strict: bool = False,
    exclude: Sequence[str] = (),
) -> Gallery | None:
    """Do what `Gallery.index_folder` does, whose arguments these are.

    Each rank keeps what it embeds beside the gallery, in a folder that all see, as an interrupted run would; the first
    goes on from there, and alone writes the gallery.

    Returns:
        the gallery on the first rank, None on the others.

    Raises:
        errors.GalleryError: as there.
        errors.ArgumentError: as there; or the ranks see other pictures, or their models or versions differ.
        errors.TrainingError: a rank was lost.
    """
    storage.check_owner(saved, listing.identity(source))
    unfinished = Unfinished(saved, model.fingerprint, listing.identity(source))
    before, kept = updating.usable(saved, model.fingerprint), list(unfinished.known())
    known = [*([before.rows] if before else []), *kept]
    listed = listing.listed(source, exclude, known)
    try:
        missing = _missing(model, listed, known)
    except errors.DamagedGalleryError:  # which is seen where rows are read: the gallery is built anew
        missing = _missing(model, listed, kept)
    notes: list[str] = []
    for _, rows in _share(model, listed, missing, progress, [], notes, strict):
        if rows is not None:
            unfinished.add(rows)
    told = ranks.tell_first(notes)  # and all is kept
    if not ranks.this().first:
        return None
    gallery = Gallery.index_folder(model, source, saved, progress, strict, exclude)
    gallery.notes = tuple(dict.fromkeys([*gallery.notes, *(note for some in told for note in some)]))
    return gallery


def build(
    model: Embedder, source: Buildable, progress: OnProgress | None = None, strict: bool = False
) -> Gallery | None:
    """Do what `Gallery.build` does with data sets; arguments and errors are its, else as for `index_folder`."""
    listed = sources.of(source)
    skipped: list[str] = []
    notes: list[str] = []
    shares = _share(model, listed, range(len(listed.pictures)), progress, skipped, notes, strict)
    own = [(batch.numbers, rows) for batch, rows in shares if rows is not None]
    told = ranks.tell_first((own, skipped, notes))
    if not ranks.this().first:
        return None
    found = [part for parts, _, _ in told for part in parts]
    numbers = np.concatenate([numbers for numbers, _ in found])
    parts = np.repeat(np.arange(len(found)), [len(rows) for _, rows in found])
    places = np.concatenate([np.arange(len(rows)) for _, rows in found])
    order = np.argsort(numbers)
    rows = Indexed(listed, numbers[order], [rows for _, rows in found], parts[order], places[order]).rows()
    left_out = [line for _, some, _ in told for line in some]
    return Gallery.of_rows(
        model, listed, rows, left_out, [*listed.notes, *(note for *_, some in told for note in some)]
    )


def _missing(model: Embedder, source: PictureSource, known: Sequence[Rows]) -> list[int]:
    parts, _ = indexing.find_known(model, source, known)
    return np.flatnonzero(parts < 0).tolist()


def _share(
    model: Embedder,
    source: PictureSource,
    missing: Sequence[int],
    progress: OnProgress | None,
    skipped: list[str],
    notes: list[str],
    strict: bool,
) -> Iterator[tuple[Batch, Rows | None]]:
    """Embed this rank's share of the pictures that are missing, once all ranks agree on them."""
    digest = hashlib.sha256(repr([(one.source, one.stamp) for one in source.pictures]).encode("utf-8", "replace"))
    pictures = {"the list of pictures": digest.hexdigest()[:12], "the number of new pictures": str(len(missing))}
    ranks.require_agreement(environment.versions() | {"the model": model.fingerprint} | pictures)
    own, count, known = ranks.in_turn(missing, source.batch), len(source.pictures), len(source.pictures) - len(missing)
    if progress:
        progress(known, count)
    for batch, rows in indexing.batches(model, source, own, None if strict else skipped, notes):
        yield batch, rows
        if progress:  # the others are as far, more or less
            progress(known + min(batch.done * ranks.this().count, len(missing)), count)
