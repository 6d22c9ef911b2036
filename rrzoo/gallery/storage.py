"""A gallery on disk: a folder of a manifest and the files of its segments.

    manifest.json               whose features, of what, how many, which segments, and the SHA-256 of the other files
    features-3.safetensors      unit, lengths, perhaps relation          of the segment that the third generation wrote;
    rows-3.safetensors          labels, sources, source_ends, and of a folder's files stamps          see `rows.Rows`
    thumbnails-3.safetensors    thumbnails, thumbnail_ends
    removed-5.safetensors       positions of rows that are gone, where some are, as of the fifth generation
    index-3.safetensors         made here from a large segment's features, and not listed: see `backends.kept`

A gallery of splits that are shown from where they lie (`pictures.IN_PLACE`) has no thumbnails and no sources.

A segment never changes. Saving writes the rows that are new as one more segment, with the rows of earlier ones that are
not much larger: so there are few, each row is written a few times at most, and a small gallery is always one segment.
Then it switches: the manifest is replaced by one rename. Whatever ends a run, the folder holds the old gallery or the
new one, whole. The next save removes what a killed one has left.

Files are mapped, and read where rows are asked for; what is read is checked then, and all of it by `check`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
from rrzoo.gallery.manifest import INDEX, PARTS, REMOVED, GalleryManifest, Segment, damaged
from rrzoo.gallery.manifest import MANIFEST as MANIFEST
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.thumbnails import Thumbnails
from rrzoo.records import to_json

FOLDER = "gallery"  # in a model folder
LOCK = ".lock"
SMALL = 4_096  # rows of a segment that is always written anew with what comes after it


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


def kept_segments(manifest: GalleryManifest, removed: np.ndarray, new: int) -> tuple[Segment, ...]:
    """Return the first segments of a gallery, which stay as they are when it is saved; others are written anew.

    Those go that are no more than twice as large as what is written after them, or of which more than half is removed.

    Args:
        manifest: of the gallery.
        removed: positions of rows that go, and of those that are gone, int64 (R,), in ascending order.
        new: rows to add.
    """
    ends = np.cumsum([segment.rows for segment in manifest.segments])
    gone = np.diff(np.searchsorted(removed, ends), prepend=0)
    left = [segment.rows - int(count) for segment, count in zip(manifest.segments, gone, strict=True)]
    kept = next((n for n, one in enumerate(manifest.segments) if 2 * left[n] < one.rows), len(left))
    written = new + sum(left[kept:])
    while kept and left[kept - 1] <= max(SMALL, 2 * written):
        kept -= 1
        written += left[kept]
    return manifest.segments[:kept]


def write(folder: Path, manifest: GalleryManifest, rows: Rows) -> None:
    """Write the next generation of the gallery in a folder as one segment, and remove the others.

    Args:
        folder: where to.
        manifest: all but generation, segments and files.
        rows: what it describes.

    Raises:
        errors.GalleryError: the folder can't be written, there is no room, another process is writing there, or the
            manifest.json that is there belongs to something else.
    """
    with _writing(folder):
        _write(folder, manifest, (), {}, np.empty(0, np.int64), rows)


def append(
    folder: Path, before: GalleryManifest, manifest: GalleryManifest, removed: np.ndarray, rows: Rows | None
) -> None:
    """Write the next generation of the gallery in a folder: segments that are there, and perhaps one more.

    Args:
        folder: where to.
        before: what is there.
        manifest: all but generation and files; its segments are the first ones of `before`.
        removed: positions in these of rows that are gone, int64 (R,), in ascending order.
        rows: what is new.

    Raises:
        errors.GalleryError: as for `write`; or something else is there by now.
    """
    with _writing(folder):
        if manifests.read(folder) != before:
            raise errors.GalleryError(f"another process has written the gallery in {folder} meanwhile: run this again")
        kept = [name for segment in manifest.segments for name in manifest.names(segment)]
        _write(folder, manifest, manifest.segments, {name: before.files[name] for name in kept}, removed, rows)


def tidy(folder: Path) -> None:
    """Remove what killed runs have left beside a gallery; raises as `write` does."""
    with _writing(folder):
        _remove_unlisted(folder, manifests.read(folder))


def _write(
    folder: Path,
    manifest: GalleryManifest,
    segments: tuple[Segment, ...],
    listed: dict[str, str],
    removed: np.ndarray,
    rows: Rows | None,
) -> None:
    generation = 1 + max((manifests.number_of(path.name) for path in folder.iterdir()), default=0)
    listed = dict(listed)
    if rows is not None:
        segments = (*segments, Segment(generation, len(rows), manifest.classes))
        content = rows.tensors()
        for part, names in PARTS.items():
            present = {name: content[name] for name in names if name in content}
            if present:
                listed |= _write_file(folder, manifests.name_of(part, generation), present)
    if len(removed):
        listed |= _write_file(folder, manifests.name_of(REMOVED, generation), {REMOVED: removed})
    finished = replace(manifest, generation=generation, segments=segments, files=listed)
    rrzoo_files.write(folder / MANIFEST, to_json(finished))
    _remove_unlisted(folder, finished)


def _write_file(folder: Path, name: str, content: dict[str, tensors.Tensor]) -> dict[str, str]:
    """Write one file; return its name and SHA-256."""
    with rrzoo_files.new_file(folder / name) as path:
        tensors.write(path, content)
    return {name: rrzoo_files.sha256(folder / name)}


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


def cannot_write(folder: Path, problem: Exception) -> errors.GalleryError:
    """Return the error for a gallery that can't be written."""
    return errors.GalleryError(
        f"the gallery can't be written to {folder} ({problem}): make room there, or name another folder"
    )


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


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from writing there.

    The lock's file goes afterwards, so that the folder holds the gallery alone.

    Raises:
        errors.GalleryError: see `write`.
    """
    if manifests.owns(folder) is False:  # of a model folder, or of a user's images
        raise errors.GalleryError(
            f"{folder} holds a {MANIFEST} that is no gallery's: name a folder for the gallery alone"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with rrzoo_files.lock(folder / LOCK):
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    except BlockingIOError:
        raise errors.GalleryError(f"another process is writing the gallery in {folder}: wait for its end") from None
    except OSError as problem:
        raise cannot_write(folder, problem) from None


def _remove_unlisted(folder: Path, manifest: GalleryManifest) -> None:
    """Remove older generations, and what killed runs have left; but nothing that is not a gallery's."""
    indexes = {manifests.name_of(INDEX, segment.number) for segment in manifest.segments}
    kept = {MANIFEST, *manifest.files, *indexes}
    for path in folder.iterdir():
        unfinished = path.name.startswith(rrzoo_files.UNFINISHED)
        name = path.name.removeprefix(rrzoo_files.UNFINISHED).rpartition("-")[0] if unfinished else path.name
        ours = bool(manifests.number_of(name)) or name in FORMAT_1 or (unfinished and name == MANIFEST)
        if ours and path.name not in kept:
            path.unlink(missing_ok=True)
