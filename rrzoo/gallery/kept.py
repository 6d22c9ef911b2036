"""Indexes of large segments, kept beside them so that they are not built at each start.

They are made on this machine when a gallery is saved, and the manifest does not list them: they are not uploaded, and
what is not there is built in memory when it is needed. What they hold is checked like anything from outside, and FAISS
reads no file; a wrong one could hide hits, but make none up, since scores come from the features.
"""

from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from rrzoo import files
from rrzoo.gallery import manifest as manifests
from rrzoo.gallery import tensors, writing
from rrzoo.gallery.backends import Backend, Faiss, Part
from rrzoo.gallery.backends.faiss_index import Inverted
from rrzoo.gallery.manifest import INDEX, GalleryManifest, Segment
from rrzoo.gallery.storage import Saved

FORM = "cells and bytes, 1"  # of the tensors, and how they are made


def index(folder: Path, saved: Saved) -> Backend:
    """Return the index of a gallery's rows; the ids are the rows."""
    return Faiss(saved.manifest.dimension, parts(folder, saved))


def parts(folder: Path, saved: Saved) -> list[Part]:
    """Return what an index of a gallery's rows is made of; the ids are the rows."""
    found, start, first = [], 0, 0
    for segment, rows in zip(saved.manifest.segments, saved.segments, strict=True):
        low, high = np.searchsorted(saved.places.removed, [start, start + segment.rows])
        ids = np.arange(first, first + segment.rows)
        if high > low:
            present = np.ones(segment.rows, bool)
            present[saved.places.removed[low:high] - start] = False
            ids = np.where(present, np.cumsum(present) - 1 + first, -1)
        found.append(Part(ids, rows.unit, kept=partial(_read, folder, saved.manifest, segment)))
        start, first = start + segment.rows, first + segment.rows - int(high - low)
    return found


def keep(folder: Path, saved: Saved) -> None:
    """Build and keep the indexes of a gallery's large segments that are not there yet.

    Raises:
        errors.GalleryError: the gallery is damaged, or there is no room.
    """
    for segment, part in zip(saved.manifest.segments, parts(folder, saved), strict=True):
        if part.exact or _read(folder, saved.manifest, segment) is not None:
            continue
        try:
            with files.new_file(folder / manifests.name_of(INDEX, segment.number)) as path:
                tensors.write(path, Inverted.build(part.unit).tensors(), _about(saved.manifest, segment))
        except OSError as problem:
            raise writing.cannot_write(folder, problem) from None


def _read(folder: Path, manifest: GalleryManifest, segment: Segment) -> Inverted | None:
    """Return the index of a segment; None where there is none that can be used."""
    path = folder / manifests.name_of(INDEX, segment.number)
    try:
        if tensors.metadata(path) == _about(manifest, segment):
            return Inverted.from_tensors(tensors.mapped(path), segment.rows, manifest.dimension)
    except (OSError, SafetensorError, KeyError, ValueError):
        pass
    return None


def _about(manifest: GalleryManifest, segment: Segment) -> dict[str, str]:
    return {"features": manifest.files[manifest.names(segment)[0]], "form": FORM}
