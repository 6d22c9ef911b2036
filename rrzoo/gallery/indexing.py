"""From pictures to the rows of a gallery; of a folder, only what is not known yet is embedded."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from rrzoo import environment, errors
from rrzoo.features import Features
from rrzoo.gallery import reading
from rrzoo.gallery.blobs import Gathered
from rrzoo.gallery.columns import Chosen, Column, Values
from rrzoo.gallery.reading import Batch
from rrzoo.gallery.rows import Rows, Split
from rrzoo.gallery.sources import PictureSource
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


# reads and embeds pictures of a source by their numbers: `batches` does so in this process, and says what it takes
Batches: TypeAlias = Callable[
    [Embedder, PictureSource, Sequence[int], list[str] | None, list[str], bool], Iterator[tuple[Batch, Rows | None]]
]


@dataclass(frozen=True)
class Indexed:
    """Which pictures of a source have features, and where these are."""

    source: PictureSource
    numbers: np.ndarray  # int64 (N,): of the pictures, in ascending order
    known: Sequence[Rows]  # that hold the features
    parts: np.ndarray  # int64 (N,): in which of them
    places: np.ndarray  # int64 (N,): which row there

    def rows(self, chosen: np.ndarray | None = None) -> Rows:
        """Return the rows of the pictures, or of chosen ones of them, bool (N,), in the order of the source."""
        some = np.ones(len(self.numbers), bool) if chosen is None else chosen
        used, parts = np.unique(self.parts[some], return_inverse=True)
        taken, places = [self.known[part] for part in used.tolist()], Chosen(parts, self.places[some])
        related = [rows.relation for rows in taken if rows.relation is not None]
        thumbnails = [rows.thumbnails.files for rows in taken if rows.thumbnails is not None]
        return _rows(
            self.source,
            self.numbers[some].tolist(),
            Column([rows.unit for rows in taken], places),
            Column([rows.lengths for rows in taken], places),
            Column(related, places) if related else None,
            Thumbnails(Gathered(thumbnails, places)) if thumbnails else None,
        )


def embed(
    model: Embedder,
    source: PictureSource,
    progress: OnProgress | None = None,
    skipped: list[str] | None = None,
    notes: list[str] | None = None,
    known: Sequence[Rows] = (),
    keep: Callable[[Rows], None] | None = None,
    rerank: bool = True,
    batches_of: Batches | None = None,
) -> Indexed:
    """Compute what is not known yet of a source's pictures.

    Args:
        model: whose features are computed.
        source: the pictures.
        progress: called before the first batch, with what is known, and after each.
        skipped: takes what can't be read; if None, that raises.
        notes: takes what is to be known of pictures that are taken.
        known: rows of this model; those of the same source and stamp are not computed again.
        keep: takes the rows of each batch that was embedded.
        rerank: keep what the relation head takes, where that is not to be had from the embedding.
        batches_of: reads and embeds; default: `batches`.

    Returns:
        the pictures; `Indexed.known` begins with `known`.

    Raises:
        errors.GalleryError: a picture can't be read, and `skipped` is None; or none of them can be read.
    """
    count, several = len(source.pictures), list(known)
    parts, places = find_known(model, source, known, rerank)
    missing = np.flatnonzero(parts < 0).tolist()
    before = count - len(missing)
    if progress:
        progress(before, count)
    notes = [] if notes is None else notes
    for batch, rows in (batches_of or batches)(model, source, missing, skipped, notes, rerank):
        if rows is not None:
            parts[batch.numbers], places[batch.numbers] = len(several), np.arange(len(rows))
            several.append(rows)
            if keep:
                keep(rows)
        if progress:
            progress(before + batch.done, count)
    numbers = np.flatnonzero(parts >= 0)
    if len(numbers) == 0:
        raise errors.GalleryError(f"none of the {count} images can be read; {skipped[0] if skipped else ''}")
    return Indexed(source, numbers, several, parts[numbers], places[numbers])


def batches(
    model: Embedder,
    source: PictureSource,
    numbers: Sequence[int],
    skipped: list[str] | None,
    notes: list[str],
    rerank: bool = True,
) -> Iterator[tuple[Batch, Rows | None]]:
    """Read and embed pictures of a source by their numbers; yield each batch with its rows, None if it has none.

    Arguments and errors are those of `embed` and `reading.read`.
    """
    with_relation = _with_relation(model, rerank)
    with environment.keep_memory(), ThreadPoolExecutor(ENCODERS) as threads:
        encoders = None if source.splits else threads
        for batch in reading.read(source, numbers, model.shorter_side, skipped, notes):
            yield batch, _embed_batch(model, source, batch, encoders, with_relation) if batch.pixels else None


def _with_relation(model: Embedder, rerank: bool) -> bool:
    return rerank and model.has_relation_head and not model.embeds_relation


def find_known(
    model: Embedder, source: PictureSource, known: Sequence[Rows], rerank: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each picture which rows know it, -1 for none, and which row there: int64 (N,) each.

    Of two, the later one counts.
    """
    with_relation = _with_relation(model, rerank)
    parts, places = np.full(len(source.pictures), -1), np.zeros(len(source.pictures), np.int64)
    pictures = {picture.source: number for number, picture in enumerate(source.pictures)} if known else {}
    for part, rows in enumerate(known):
        if rows.stamps is None or rows.thumbnails is None or (rows.relation is not None) != with_relation:
            continue
        for row, (name, stamp) in enumerate(zip(rows.sources, np.asarray(rows.stamps).tolist(), strict=True)):
            number = pictures.get(name)
            if number is not None and source.pictures[number].stamp == tuple(stamp):
                parts[number], places[number] = part, row
    return parts, places


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
    unit: Values,
    lengths: Values,
    relation: Values | None,
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
