"""Writing a gallery, a generation at a time: see `storage`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo import files as rrzoo_files
from rrzoo.gallery import manifest as manifests
from rrzoo.gallery import tensors
from rrzoo.gallery.manifest import FORMAT_1, INDEX, MANIFEST, PARTS, REMOVED, GalleryManifest, Segment
from rrzoo.gallery.rows import Rows
from rrzoo.records import to_json

LOCK = ".lock"
SMALL = 4_096  # rows of a segment that is always written anew with what comes after it


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


def cannot_write(folder: Path, problem: Exception) -> errors.GalleryError:
    """Return the error for a gallery that can't be written."""
    return errors.GalleryError(
        f"the gallery can't be written to {folder} ({problem}): make room there, or name another folder"
    )


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
    rrzoo_files.remove_abandoned(folder)
    for path in folder.iterdir():
        if (manifests.number_of(path.name) or path.name in FORMAT_1) and path.name not in kept:
            path.unlink(missing_ok=True)
