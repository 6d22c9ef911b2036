"""From images that were read to the rows of a gallery; of a folder, only what is not known yet is embedded."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from rrzoo import errors
from rrzoo.gallery import batches
from rrzoo.gallery.batches import Batch
from rrzoo.gallery.storage import Rows
from rrzoo.gallery.thumbnails import Thumbnails
from rrzoo.images import Images

ENCODERS = 2  # threads that write thumbnails while the model computes features

Progress = Callable[[int, int], None]  # images done, images in all


class Embedder(Protocol):
    """What a gallery needs of a model."""

    @property
    def name(self) -> str:
        """Name in the zoo."""

    @property
    def fingerprint(self) -> str:
        """What distinguishes its features from those of other models."""

    @property
    def has_relation_head(self) -> bool:
        """Whether it has a relation head."""

    def features(self, images: Images) -> np.ndarray:
        """Return float32 (N, D)."""

    def relate_features(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the relation scores, float32 (N,), of pairs of features (N, D)."""


def embed(
    model: Embedder, read: Iterable[Batch], count: int, progress: Progress | None = None, thumbnails: bool = True
) -> Rows | None:
    """Embed batches, and encode thumbnails of them meanwhile; return None where there is no image in them.

    Args:
        model: whose features are computed.
        read: the batches, with `count` images in all.
        count: what `progress` is told.
        progress: called after each batch.
        thumbnails: wanted or not.
    """
    features: list[np.ndarray] = []
    files: list[bytes] = []
    labels: list[str | None] = []
    sources: list[str] = []
    with ThreadPoolExecutor(ENCODERS) as encoders:
        for batch in read:
            if batch.pictures:
                encoded = encoders.map(Thumbnails.encode, batch.pictures if thumbnails else [])
                features.append(model.features(batch.pictures))
                files += encoded
            labels += batch.labels
            sources += batch.sources
            if progress:
                progress(batch.read, count)
    if not features:
        return None
    unit, lengths = to_unit(np.concatenate(features))
    return Rows(unit, lengths, Thumbnails.join(files) if thumbnails else None, sources, labels)


def to_unit(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) scaled to unit length, float32, and their lengths, float32 (N,)."""
    lengths = np.maximum(np.linalg.norm(features, axis=1), 1e-12).astype(np.float32)
    return np.ascontiguousarray(features / lengths[:, None], np.float32), lengths


def folder_rows(
    model: Embedder,
    folder: Path,
    known: Iterable[Rows],
    keep: Callable[[Rows], None],
    progress: Progress | None,
    skipped: list[str] | None,
) -> tuple[Rows, tuple[str, ...]]:
    """Return the rows of a folder's images, in the order of their paths, and the names of the classes.

    Args:
        model: whose features are computed.
        folder: what is indexed, with all below it.
        known: rows of this model; those whose file still has the same path and stamp are not computed again.
        keep: takes the rows of each batch that was embedded.
        progress: called with the number of known images, and after each batch.
        skipped: takes what can't be read; if None, that raises.

    Raises:
        errors.GalleryError: there is no such folder, no image in it, or an image that can't be read.
    """
    listed = batches.list_folder(folder)
    found: dict[tuple[str, batches.Stamp], tuple[Rows, int]] = {}

    def learn(rows: Rows) -> None:
        stamps = [] if rows.stamps is None else rows.stamps.tolist()
        for row, (source, (size, changed)) in enumerate(zip(rows.sources, stamps, strict=True)):
            found[source, (size, changed)] = rows, row

    for rows in known:
        learn(rows)
    missing = [file[0] for file in listed.items() if file not in found]
    before = len(listed) - len(missing)
    if progress:
        progress(before, len(listed))
    for batch in batches.of_folder(folder, missing, skipped):
        new = embed(model, [batch], len(listed))
        if new is not None:
            new.stamps = np.array([listed[source] for source in new.sources], np.int64)
            keep(new)
            learn(new)
        if progress:
            progress(before + batch.read, len(listed))
    files = [file for file in listed.items() if file in found]
    if not files:
        problem = skipped[0] if skipped else ""
        raise errors.GalleryError(f"none of the {len(listed)} images can be read; {problem}")
    parts = [found[file] for file in files]
    joined = Rows(
        np.stack([rows.unit[row] for rows, row in parts]),
        np.stack([rows.lengths[row] for rows, row in parts]),
        Thumbnails.join(_thumbnails(parts)),
        [source for source, _ in files],
        [batches.class_of(source) for source, _ in files],
        np.array([stamp for _, stamp in files], np.int64),
    )
    return joined, tuple(sorted({name for name in map(batches.class_of, listed) if name is not None}))


def _thumbnails(parts: list[tuple[Rows, int]]) -> Iterator[bytes]:
    for rows, row in parts:
        assert rows.thumbnails is not None  # those of a folder always have them
        yield rows.thumbnails.file(row)
