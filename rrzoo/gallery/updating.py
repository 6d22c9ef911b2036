"""Bringing a gallery on disk up to date: what is new is written, and of what is there as little as can be."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo.gallery import kept, storage, writing
from rrzoo.gallery.indexing import Indexed
from rrzoo.gallery.manifest import GalleryManifest
from rrzoo.gallery.storage import Saved


def usable(folder: Path, fingerprint: str) -> Saved | None:
    """Open the gallery in a folder, if there is one of a model that can be used."""
    try:
        saved = storage.open_saved(folder)
    except errors.GalleryError:
        return None
    return saved if saved.manifest.fingerprint == fingerprint else None


def update(folder: Path, before: Saved | None, indexed: Indexed, manifest: GalleryManifest) -> None:
    """Write the pictures that were indexed as the gallery in a folder.

    Args:
        folder: where to.
        before: what is there, the first of `indexed.known`; None: it is written anew.
        indexed: all pictures of the gallery.
        manifest: all but generation, segments and files.

    Raises:
        errors.DamagedGalleryError: rows that are to be written anew are not those of `before`'s manifest.
        errors.GalleryError: see `writing.write`.
    """
    if before is None:
        writing.write(folder, manifest, indexed.rows())
    else:
        _append(folder, before, indexed, manifest)
    kept.keep(folder, storage.open_saved(folder))


def _append(folder: Path, before: Saved, indexed: Indexed, manifest: GalleryManifest) -> None:
    is_old = indexed.parts == 0
    stay = np.full(len(is_old), -1)  # position of each picture in the segments
    stay[is_old] = before.places.positions(indexed.places[is_old])
    removed = np.ones(before.manifest.written, bool)
    removed[stay[is_old]] = False
    if is_old.all() and len(is_old) == len(before.rows) and manifest.classes == before.manifest.classes:
        writing.tidy(folder)
        return
    segments = writing.kept_segments(before.manifest, np.flatnonzero(removed), int((~is_old).sum()))
    end = sum(segment.rows for segment in segments)
    written = (stay < 0) | (stay >= end)
    for segment in before.manifest.segments[len(segments) :]:
        storage.check_files(folder, before.manifest, before.manifest.names(segment))
    writing.append(
        folder,
        before.manifest,
        replace(manifest, segments=segments),
        np.flatnonzero(removed[:end]),
        indexed.rows(written) if written.any() else None,
    )
