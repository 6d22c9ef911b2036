"""From pictures to the rows of a gallery; of a folder, only what is not known yet is embedded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rrzoo import errors
from rrzoo.features import Features
from rrzoo.gallery import reading
from rrzoo.gallery.reading import Batch
from rrzoo.gallery.rows import Rows, Split
from rrzoo.gallery.sources import PictureSource, Stamp
from rrzoo.gallery.thumbnails import Thumbnails
from rrzoo.images import Images
from rrzoo.progress import OnProgress

ENCODERS = 2  # threads that write thumbnails while the model computes features


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

    @property
    def embeds_relation(self) -> bool:
        """Whether the rows of `embed_features` are the features for the relation head, scaled to unit length."""

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side that a picture should keep when it is decoded."""

    def extract(self, images: Images) -> Features:
        """Return the features of images."""

    def embed_features(self, pooled: np.ndarray) -> np.ndarray:
        """Return unit rows, float32 (N, E), of pooled features (N, F)."""

    def relate_features(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the relation scores, float32 (N,), of pairs of features (N, D)."""


@dataclass(frozen=True)
class Embedded:
    """Some of a source's pictures that were read and, but for those that can't be, embedded."""

    numbers: list[int]  # of the source's pictures: those of `rows`
    rows: Rows | None  # None: none of them can be read
    done: int  # pictures so far, with those that can't be read
    skipped: list[str]  # what can't be read, and why
    notes: list[str]  # what is to be known of pictures that are taken


class EmbedSome(Protocol):
    """Embeds some pictures, here or elsewhere."""

    def __call__(
        self, model: Embedder, source: PictureSource, numbers: Sequence[int], strict: bool, with_relation: bool
    ) -> Iterator[Embedded]:
        """Yield them part by part: see `embed_here`."""


def embed_here(
    model: Embedder, source: PictureSource, numbers: Sequence[int], strict: bool, with_relation: bool
) -> Iterator[Embedded]:
    """Read and embed some of a source's pictures, and yield them batch by batch.

    Args:
        model: whose features are computed.
        source: the pictures.
        numbers: which of them.
        strict: raise where one can't be read.
        with_relation: keep what the relation head takes.

    Raises:
        errors.GalleryError: a picture can't be read, and `strict` is true.
    """
    skipped: list[str] = []
    notes: list[str] = []
    with ThreadPoolExecutor(ENCODERS) as encoders:
        for batch in reading.read(source, numbers, model.shorter_side, None if strict else skipped, notes):
            rows = None
            if batch.pixels:
                rows = _embed_batch(model, source, batch, None if source.splits else encoders, with_relation)
            yield Embedded(batch.numbers, rows, batch.done, skipped[:], notes[:])
            skipped.clear()
            notes.clear()


def embed(
    model: Embedder,
    source: PictureSource,
    progress: OnProgress | None = None,
    skipped: list[str] | None = None,
    notes: list[str] | None = None,
    known: Iterable[Rows] = (),
    keep: Callable[[Rows], None] | None = None,
    rerank: bool = True,
    embed_some: EmbedSome = embed_here,
) -> Rows:
    """Return the rows of a source's pictures, in its order.

    Args:
        model: whose features are computed.
        source: the pictures.
        progress: called before the first batch, with what is known, and after each.
        skipped: takes what can't be read; if None, that raises.
        notes: takes what is to be known of pictures that are taken.
        known: rows of this model; those of the same source and stamp are not computed again.
        keep: takes the rows of each batch that was embedded.
        rerank: keep what the relation head takes, where that is not to be had from the embedding.
        embed_some: computes what is not known.

    Raises:
        errors.GalleryError: a picture can't be read, and `skipped` is None; or none of them can be read.
    """
    count = len(source.pictures)
    with_relation = rerank and model.has_relation_head and not model.embeds_relation
    parts = _find_known(source, (rows for rows in known if (rows.relation is not None) == with_relation))
    missing = [number for number in range(count) if number not in parts]
    before = len(parts)
    if progress:
        progress(before, count)
    for some in embed_some(model, source, missing, skipped is None, with_relation):
        if some.rows is not None:
            parts |= {number: (some.rows, row) for row, number in enumerate(some.numbers)}
            if keep:
                keep(some.rows)
        if skipped is not None:
            skipped += some.skipped
        if notes is not None:
            notes += some.notes
        if progress:
            progress(before + some.done, count)
    if not parts:
        raise errors.GalleryError(f"none of the {count} images can be read; {skipped[0] if skipped else ''}")
    numbers = sorted(parts)
    unit = np.stack([rows.unit[row] for rows, row in map(parts.__getitem__, numbers)])
    lengths = np.stack([rows.lengths[row] for rows, row in map(parts.__getitem__, numbers)])
    relation = [rows.relation[row] for rows, row in map(parts.__getitem__, numbers) if rows.relation is not None]
    files = (_thumbnail(*parts[number]) for number in numbers)
    thumbnails = None if source.splits else Thumbnails.join(files)
    return _rows(source, numbers, unit, lengths, np.stack(relation) if relation else None, thumbnails)


def _find_known(source: PictureSource, known: Iterable[Rows]) -> dict[int, tuple[Rows, int]]:
    """Return the pictures that are known: number -> rows, and the row there. Of two, the later one counts."""
    places: dict[tuple[str, Stamp], tuple[Rows, int]] = {}
    for rows in known:
        if rows.stamps is not None and rows.thumbnails is not None:
            for row, (name, (size, changed)) in enumerate(zip(rows.sources, rows.stamps.tolist(), strict=True)):
                places[name, (size, changed)] = rows, row
    return {
        number: places[picture.source, picture.stamp]
        for number, picture in enumerate(source.pictures)
        if picture.stamp is not None and (picture.source, picture.stamp) in places
    }


def _embed_batch(
    model: Embedder, source: PictureSource, batch: Batch, encoders: Executor | None, with_relation: bool
) -> Rows:
    encoded = encoders.map(Thumbnails.encode, batch.pixels) if encoders else None  # meanwhile
    features = model.extract(batch.pixels)
    unit = np.ascontiguousarray(model.embed_features(features.pooled), np.float32)
    lengths = np.maximum(np.linalg.norm(features.relation, axis=1), 1e-12).astype(np.float32)
    relation = features.relation if with_relation else None
    thumbnails = None if encoded is None else Thumbnails.join(encoded)
    return _rows(source, batch.numbers, unit, lengths, relation, thumbnails)


def _rows(
    source: PictureSource,
    numbers: list[int],
    unit: np.ndarray,
    lengths: np.ndarray,
    relation: np.ndarray | None,
    thumbnails: Thumbnails | None,
) -> Rows:
    """Join what was computed of some of a source's pictures with what the source says of them."""
    pictures = [source.pictures[number] for number in numbers]
    stamps = [picture.stamp for picture in pictures if picture.stamp is not None]
    return Rows(
        unit,
        lengths,
        source.labels(numbers),
        tuple(picture.source for picture in pictures),
        np.array(stamps, np.int64) if stamps else None,
        thumbnails,
        relation,
        tuple(Split(one.name, one.split, len(one)) for one in source.splits),
    )


def _thumbnail(rows: Rows, row: int) -> bytes:
    assert rows.thumbnails is not None  # `_find_known` takes no others
    return rows.thumbnails.file(row)
