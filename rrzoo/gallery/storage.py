"""A gallery on disk: a folder of a manifest and the files of its segments.

    manifest.json               whose features, of what, how many, which segments, and the SHA-256 of the other files
    features-3.safetensors      unit, lengths, perhaps relation          of the segment that the third generation wrote;
    rows-3.safetensors          labels, sources, source_ends, and of a folder's files stamps          see `rows.Rows`
    thumbnails-3.safetensors    thumbnails, thumbnail_ends
    removed-5.safetensors       positions of rows that are gone, where some are, as of the fifth generation
    index-3.safetensors         made here from a large segment's features, and not listed: see `kept`

A gallery of splits that are shown from where they lie (`pictures.IN_PLACE`) has no thumbnails and no sources.

A segment never changes. Saving writes the rows that are new as one more segment, with the rows of earlier ones that are
not much larger: so there are few, each row is written a few times at most, and a small gallery is always one segment.
Then it switches: the manifest is replaced by one rename. Whatever ends a run, the folder holds the old gallery or the
new one, whole. The next save removes what a killed one has left.

Files are mapped, and read where rows are asked for; what is read is checked then, and all of it by `check`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from rrzoo import errors
from rrzoo import files as rrzoo_files
from rrzoo.gallery import manifest as manifests
from rrzoo.gallery import tensors
from rrzoo.gallery.blobs import Gathered, Texts
from rrzoo.gallery.columns import Column, InTurn, Values
from rrzoo.gallery.manifest import FORMAT_1 as FORMAT_1
from rrzoo.gallery.manifest import MANIFEST as MANIFEST
from rrzoo.gallery.manifest import REMOVED, GalleryManifest, Segment, damaged
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.thumbnails import Thumbnails

FOLDER = "gallery"  # in a model folder


@dataclass(frozen=True)
class Saved:
    """A gallery that was opened."""

    manifest: GalleryManifest
    rows: Rows
    places: InTurn  # of the rows in the segments
    segments: tuple[Rows, ...]  # with the rows that were removed


def is_gallery(folder: Path) -> bool:
    """Return whether a folder holds a gallery, of whatever format, perhaps damaged."""
    names = {path.name for path in folder.glob("*")}
    return FORMAT_1[0] in names or any(map(manifests.number_of, names)) or manifests.owns(folder) is True


def files(folder: Path) -> list[str]:
    """Return the names of the files of the gallery in a folder, with the manifest; none if there is no gallery.

    Raises:
        errors.GalleryError: the manifest is damaged.
    """
    if not (folder / MANIFEST).exists():
        return []
    return [MANIFEST, *manifests.read(folder).files]


def open_saved(folder: Path) -> Saved:
    """Open what was written. Of its files only the heads are read: it takes as long for any number of rows.

    Raises:
        errors.GalleryError: a file is missing or of another kind than it should be.
    """
    manifest = manifests.read(folder)
    try:
        segments = tuple(_segment(folder, manifest, segment) for segment in manifest.segments)
        places = InTurn([len(rows) for rows in segments], _removed(folder, manifest))
        return Saved(manifest, _join(segments, places), places, segments)
    except FileNotFoundError as problem:
        if manifests.read(folder).generation != manifest.generation:  # another process has just saved
            return open_saved(folder)
        raise damaged(folder, f"{Path(problem.filename).name} is not there") from None
    except (OSError, SafetensorError, AttributeError, KeyError, TypeError, ValueError) as problem:
        raise damaged(folder, str(problem)) from None


def check(folder: Path) -> Saved:
    """Open what was written, and read all of it: its files have the SHA-256 of the manifest, and hold what they can.

    Raises:
        errors.GalleryError: they don't, or as for `open_saved`.
    """
    saved = open_saved(folder)
    check_files(folder, saved.manifest, saved.manifest.files)
    for rows in saved.segments:
        rows.check()
    return saved


def check_files(folder: Path, manifest: GalleryManifest, names: Iterable[str]) -> None:
    """Refuse files that have not the SHA-256 of a manifest.

    Raises:
        errors.DamagedGalleryError: one has not, or can't be read.
    """
    for name in names:
        try:
            digest = rrzoo_files.sha256(folder / name)
        except OSError as problem:
            raise damaged(folder, str(problem)) from None
        if digest != manifest.files[name]:
            raise damaged(folder, f"{name} is not the file that {MANIFEST} lists")


def check_owner(folder: Path, source: str) -> None:
    """Refuse to index the pictures of one folder into the gallery of another.

    Raises:
        errors.GalleryError: it is another's.
    """
    manifest = read_manifest(folder)
    if manifest is not None and manifest.folder not in (None, source):
        raise errors.GalleryError(
            f"{folder} holds the gallery of {manifest.folder}, not of {source}: name another folder for this one"
        )


def read_manifest(folder: Path) -> GalleryManifest | None:
    """Return the manifest of the gallery in a folder; None where there is none that can be read."""
    try:
        return manifests.read(folder)
    except errors.GalleryError:
        return None


def _segment(folder: Path, manifest: GalleryManifest, segment: Segment) -> Rows:
    content: dict[str, np.ndarray] = {}
    for name in manifest.names(segment):
        try:
            content |= tensors.mapped(folder / name)
        except SafetensorError as problem:
            raise ValueError(f"{name} is not the file that {MANIFEST} lists: {problem}") from None
    rows = Rows.from_tensors(content, len(segment.classes), manifest.splits, lambda problem: damaged(folder, problem))
    if rows.unit.shape != (segment.rows, manifest.dimension):
        raise ValueError(f"its features are {rows.unit.shape}, not {(segment.rows, manifest.dimension)}")
    if segment.classes == manifest.classes:
        return rows
    known = {name: number for number, name in enumerate(manifest.classes)}
    numbers = np.array([*(known.get(name, -1) for name in segment.classes), -1], np.int64)  # the last: of no label
    return replace(rows, labels=Column([rows.labels], InTurn([len(rows)]), lambda labels: numbers[labels]))


def _removed(folder: Path, manifest: GalleryManifest) -> np.ndarray:
    """Return the positions of removed rows, int64 (R,), in ascending order."""
    if manifest.removed is None:
        return np.empty(0, np.int64)
    content = tensors.mapped(folder / manifest.removed)
    removed = content.get(REMOVED, np.empty(0))
    if removed.dtype != np.int64 or removed.shape != (manifest.written - manifest.rows,):
        raise ValueError(f"{manifest.removed} holds {removed.dtype} {removed.shape}")
    if (np.diff(removed) <= 0).any() or not 0 <= removed[0] <= removed[-1] < manifest.written:
        raise ValueError(f"{manifest.removed} holds other numbers than those of rows in ascending order")
    return np.array(removed)


def _join(segments: tuple[Rows, ...], places: InTurn) -> Rows:
    """Return the rows of segments without those that were removed."""
    if len(segments) == 1 and len(places) == len(segments[0]):
        return segments[0]

    def column(name: str) -> Column | None:
        parts: list[Values] = [values for rows in segments if (values := getattr(rows, name)) is not None]
        if len(parts) not in (0, len(segments)):
            raise ValueError(f"some of its segments have no {name}")
        return Column(parts, places) if parts else None

    columns = [column(name) for name in ("unit", "lengths", "labels")]
    sources = Texts(Gathered([rows.sources.content for rows in segments], places))  # type: ignore[attr-defined]
    thumbnails = Thumbnails(Gathered([rows.thumbnails.files for rows in segments if rows.thumbnails], places))
    return Rows(*columns, sources, column("stamps"), thumbnails, column("relation"))  # type: ignore[arg-type, call-arg]
