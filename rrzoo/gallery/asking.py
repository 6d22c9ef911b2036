"""What can be asked of a gallery beside the nearest to one picture: several pictures, others to avoid, and filters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.gallery.backends.protocol import Filter
from rrzoo.gallery.duplicates.comparing import Comparison
from rrzoo.gallery.duplicates.looks import Look
from rrzoo.gallery.indexing import Embedder
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.thumbnails import SIDE
from rrzoo.images import Images, listed, read

ITSELF = 0.9999  # cosine from which on a hit is the query
PRECISION = 0.9  # of the copies that are hidden: one picture less matters little


@dataclass(frozen=True)
class Question:
    """Q things to look for, each by n pictures."""

    unit: np.ndarray  # float32 (Q, E), of unit length
    relation: np.ndarray  # float32 (Q, n, D): what the relation head takes of the pictures
    pictures: np.ndarray  # float32 (Q, n, E): their own embeddings


def question(model: Embedder, images: Images, together: bool = False, avoid: Images | None = None) -> Question:
    """Ask for what is like pictures.

    Args:
        model: whose features are searched.
        images: N pictures.
        together: ask one question by all of them: their unit features are averaged; else N questions.
        avoid: pictures whose mean unit feature is taken away from each question.

    Raises:
        errors.ArgumentError: no picture is there to average.
        errors.ImageError: one can't be read.
    """
    features = model.extract(images)
    pictures = np.ascontiguousarray(model.embed_features(features.pooled), np.float32)
    if together and len(pictures) == 0:
        raise errors.ArgumentError("no picture arrived: give at least one to search with")
    shape = (1, len(pictures)) if together else (len(pictures), 1)
    pictures = pictures.reshape(*shape, pictures.shape[1])
    relation = features.relation.reshape(*shape, features.relation.shape[1])
    unit = pictures.mean(1)
    if avoid is not None and len(listed(avoid)):
        unit = unit - model.embed_features(model.extract(avoid).pooled).mean(0)
    if together or avoid is not None:
        unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return Question(np.ascontiguousarray(unit, np.float32), relation, pictures)


def filter_of(
    classes: Sequence[str],
    has_times: bool,
    label: str | None = None,
    newer: datetime | None = None,
    older: datetime | None = None,
    prefix: str = "",
) -> Filter | None:
    """Return what is asked of rows; None: nothing.

    Args:
        classes: names of labels.
        has_times: whether it is known when the rows' files were last changed.
        label: one of `classes`.
        newer: changed at or after that time; without a time zone it is a local one.
        older: changed before that time.
        prefix: with which sources begin.

    Raises:
        errors.ArgumentError: no class has that name, or nothing is known of times.
    """
    if label is None and newer is None and older is None and not prefix:
        return None
    if label is not None and label not in classes:
        raise errors.ArgumentError(f"no image has the label {label!r}: {errors.choices(label, classes)}")
    if (newer is not None or older is not None) and not has_times:
        raise errors.ArgumentError("times were asked for: only galleries of a folder's files know them")
    earliest, latest = (None if time is None else _nanoseconds(time) for time in (newer, older))
    return Filter(label=label, newer=earliest, older=latest, prefix=prefix)


def rows_with(asked: Filter, rows: Rows, classes: Sequence[str]) -> np.ndarray:
    """Return which rows fulfil a filter, int64 (M,); their labels are numbers of `classes`."""
    labels = np.asarray(rows.labels)
    chosen = np.ones(len(rows), bool)
    if asked.labelled:
        chosen &= labels >= 0
    if asked.label is not None:
        chosen &= labels == list(classes).index(asked.label)
    if rows.stamps is not None and (asked.newer is not None or asked.older is not None):
        changed = np.asarray(rows.stamps)[:, 1]
        if asked.newer is not None:
            chosen &= changed >= asked.newer
        if asked.older is not None:
            chosen &= changed < asked.older
    if asked.prefix:
        chosen &= np.fromiter((source.startswith(asked.prefix) for source in rows.sources), bool, len(rows))
    return np.flatnonzero(chosen)


def copies_of(images: Images, asked: Question, rows: np.ndarray, comparison: Comparison) -> np.ndarray:
    """Say which rows that were found, int64 (Q, k), show a picture that was asked with, or a copy: bool (Q, k)."""
    given, threshold = listed(images), comparison.judge.threshold(PRECISION)
    hidden = np.zeros(rows.shape, bool)
    count = asked.pictures.shape[1]
    for number in range(asked.pictures.shape[0] * count):
        query, place = divmod(number, count)
        unit, relation = asked.pictures[query, place], asked.relation[query, place]
        picture = Image.fromarray(read(given[number]))
        picture.thumbnail((SIDE, SIDE))
        found = rows[query]
        hidden[query] |= comparison.unit[found] @ unit >= ITSELF
        hidden[query] |= comparison.probability_of(Look.of(picture), unit, relation, found) >= threshold
    return hidden


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1e6) * 1000
