"""Searching among rows: the nearest ones, their relation scores, and their vote on a class."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.gallery.asking import Question, rows_with
from rrzoo.gallery.backends import Backend, Faiss, Part
from rrzoo.gallery.backends.protocol import Filter
from rrzoo.gallery.indexing import Embedder
from rrzoo.gallery.rows import Rows

RERANKED = 100  # nearest images that the relation head sorts anew
RANDOM_PAIRS = 10_000
# Of the vote. Leaving each of STL-10's 5,000 training images out in turn, 50 neighbours at a temperature of 0.2 are
# right on up to 2.3 points more of them, but too unsure of it: expected calibration error 0.16 in place of 0.03.
NEIGHBOURS = 20  # k: the nearest images that vote
TEMPERATURE = 0.07  # tau


@dataclass(frozen=True)
class Hit:
    """One image that a search found."""

    score: float  # cosine similarity of the features, -1 to 1
    label: str | None
    thumbnail: Image.Image | None  # None where the gallery's pictures are not on this machine: `Gallery.no_pictures`
    source: str  # a path within the folder; data set, split and number; or the name of a file
    row: int  # within the gallery
    relation: float | None  # relation score of query and image, 0 to 1; None where `Gallery.can_rerank` is false


@dataclass(frozen=True)
class Vote:
    """What the nearest images with a label say of a picture."""

    probabilities: np.ndarray  # float32 (C,), of the gallery's classes
    label: str  # of the class with the highest one
    neighbours: list[Hit]  # that voted, nearest first

    @property
    def speakers(self) -> list[Hit]:
        """The neighbours that spoke for `label`, nearest first."""
        return [hit for hit in self.neighbours if hit.label == self.label]


def vote(neighbours: list[Hit], classes: Sequence[str]) -> Vote:
    """Let at least one neighbour vote, each for its label, weighted by exp(score / 0.07).

    Weights as in Wu et al. 2018 (arXiv 1805.01978, section 3.4).
    """
    scores = np.array([hit.score for hit in neighbours])
    weights = np.exp((scores - scores.max()) / TEMPERATURE)
    numbers = [classes.index(hit.label) for hit in neighbours if hit.label is not None]
    votes = np.bincount(numbers, weights, len(classes))
    return Vote((votes / votes.sum()).astype(np.float32), classes[int(votes.argmax())], neighbours)


class RowIndex:
    """The features of N rows, by number of the row."""

    def __init__(
        self,
        model: Embedder,
        rows: Rows,
        classes: Sequence[str],
        index: Callable[[], Backend] | None = None,
        ids: np.ndarray | None = None,
    ) -> None:
        """Index rows, whose labels are numbers of `classes`.

        `index` opens one that is kept, by ids, int64 (N,), in ascending order; without them the ids are the rows.
        """
        self.model, self.lengths, self.relation, self.unit = model, rows.lengths, rows.relation, rows.unit
        self._rows, self._classes, self._open, self._ids = rows, classes, index, ids
        self.can_rerank = model.has_relation_head and (model.embeds_relation or self.relation is not None)

    @functools.cached_property
    def _backend(self) -> Backend:
        """The index, made when it is first searched."""
        if self._open is None:
            return Faiss(self.unit.shape[1], [Part(np.arange(len(self.unit)), np.asarray(self.unit))])
        return self._open()

    def search(
        self, asked: Question, k: int, rerank: bool, where: Filter | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows, int64 (Q, k), similarities, and relation scores, float32 (Q, k), or None each.

        See `Gallery.search`. Of several pictures that ask together, the relation score is the mean.
        """
        among: np.ndarray | Filter | None = where
        if where is not None and not self._backend.limits.columns:
            among = rows_with(where, self._rows, self._classes)
        rows, scores = self._backend.search(asked.unit, max(k, RERANKED) if rerank else k, among)
        if self._ids is not None:
            rows = np.searchsorted(self._ids, rows)
        if not self.can_rerank:
            return rows, scores, np.full(rows.shape, None)
        found = self.features(rows.ravel())
        if asked.relation.shape[2] != found.shape[1]:
            raise errors.GalleryError(
                f"the gallery holds {found.shape[1]} numbers an image for the relation head, which takes "
                f"{asked.relation.shape[2]}: build it anew"
            )
        (queries, several, width), hits = asked.relation.shape, rows.shape[1]
        left = np.repeat(asked.relation, hits, axis=1).reshape(-1, width)
        right = np.repeat(found.reshape(queries, 1, hits * width), several, axis=1).reshape(-1, width)
        relations = self.model.relate_features(left, right).reshape(queries, several, hits).mean(1)
        if not rerank:
            return rows, scores, relations
        order = np.argsort(-relations, axis=1, kind="stable")[:, :k]
        rows, scores, relations = (np.take_along_axis(found, order, 1) for found in (rows, scores, relations))
        return rows, scores, relations

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return what the relation head takes of rows, int64 (M,), as float32 (M, D)."""
        if self.relation is not None:
            return np.asarray(self.relation[rows])
        return np.asarray(self.unit[rows] * self.lengths[rows][:, None])

    def relate(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return relation scores, float32 (M,), of pairs of what `features` returns."""
        return self.model.relate_features(left, right)

    @functools.cached_property
    def random_scores(self) -> np.ndarray:
        """Similarities of 10,000 random pairs of different rows, float32, in ascending order; none of a single row."""
        count = len(self.lengths)
        random = np.random.default_rng(0)
        left = random.integers(0, count, RANDOM_PAIRS if count > 1 else 0)
        right = (left + random.integers(1, max(count, 2), len(left))) % count
        one, other = self.unit[left], self.unit[right]
        return np.sort(np.einsum("nd,nd->n", one, other))
