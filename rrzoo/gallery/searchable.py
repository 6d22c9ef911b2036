"""What a gallery answers: the nearest to pictures, their vote on a class, and which of its own pictures are copies."""

import functools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.gallery.asking import copies_of, filter_of, question
from rrzoo.gallery.backends.protocol import Filter
from rrzoo.gallery.duplicates import Comparison, CopyGroup, evidence, find
from rrzoo.gallery.duplicates.finding import same_files
from rrzoo.gallery.indexing import Embedder
from rrzoo.gallery.pictures import Pictures
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.searching import NEIGHBOURS, Hit, RowIndex, Vote, vote
from rrzoo.gallery.sources import Folder
from rrzoo.images import Images
from rrzoo.progress import OnProgress


class Searchable:
    """N pictures with features of one model, to ask. `Gallery` builds and keeps them."""

    model: Embedder
    classes: tuple[str, ...]
    sources: Sequence[str]
    _kept: Rows
    _rows: RowIndex
    _pictures: Pictures

    def __len__(self) -> int:
        """Return N."""
        return len(self._kept)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Labels of all images, int64 (N,): numbers of `classes`, -1 for none."""
        return np.asarray(self._kept.labels)

    @property
    def no_pictures(self) -> str:
        """Why hits have no thumbnails, and how to get the pictures; empty where they have."""
        return self._pictures.absent

    @property
    def can_rerank(self) -> bool:
        """Whether hits have relation scores: the model has a relation head, and the gallery what that takes."""
        return self._rows.can_rerank

    def search(
        self,
        images: Images,
        k: int = 12,
        rerank: bool = False,
        *,
        together: bool = False,
        avoid: Images | None = None,
        least_score: float = -1.0,
        label: str | None = None,
        newer: datetime | None = None,
        older: datetime | None = None,
        prefix: str = "",
        hide_copies: bool = False,
    ) -> list[list[Hit]]:
        """Find the k nearest images to each of `images`, nearest first, by cosine similarity of the features.

        Args:
            images: the queries.
            k: hits for each.
            rerank: sort the 100 nearest (or k, if that is more) by relation score instead, highest first, and return
                the first k of them.
            together: make one query of all of `images`: the mean of their unit features.
            avoid: pictures that hits shall not be like: their mean unit feature is taken away from each query's.
            least_score: of a hit, cosine similarity.
            label: that hits have, one of `classes`.
            newer: hits are of files that were last changed at or after that time.
            older: ... before that time.
            prefix: with which the sources of hits begin, such as the name of a folder in the one that is indexed.
            hide_copies: leave out the queries themselves, and copies of them. See `duplicates`.

        Returns:
            a list of hits for each query, one list if `together`: k of them, or as many as there are.

        Raises:
            errors.ArgumentError: k is below 1, no image has that label, nothing is known of times, or re-ranking is
                asked for and the model has no relation head.
            errors.GalleryError: copies can't be told, as the gallery has `no_pictures`.
        """
        self._check_search(k, rerank, hide_copies)
        where = filter_of(self.classes, self._kept.stamps is not None, label, newer, older, prefix)
        asked = question(self.model, images, together, avoid)
        comparison = self.comparison() if hide_copies else None
        wanted = k
        while True:
            rows, scores, relations = self._rows.search(asked, wanted, rerank, where)
            kept = scores >= least_score
            if comparison:
                kept &= ~copies_of(images, asked, rows, comparison)
            if rows.shape[1] < wanted or ((kept.sum(1) >= k) | (scores.min(1) < least_score)).all():
                break
            wanted *= 2  # enough were hidden
        found = zip(rows.tolist(), scores.tolist(), relations.tolist(), kept.tolist(), strict=True)
        hits = [[hit for *hit, shown in zip(*of_query, strict=True) if shown][:k] for of_query in found]
        return self._hits(hits)

    def _check_search(self, k: int, rerank: bool, hide_copies: bool) -> None:
        if k < 1:
            raise errors.ArgumentError(f"k is {k}: ask for at least 1 hit")
        if rerank and not self.model.has_relation_head:
            raise errors.ArgumentError(
                f"{self.model.name} has no relation head to re-rank with: search without, or with another model"
            )
        if rerank and not self.can_rerank:
            raise errors.ArgumentError(
                f"this gallery was built without the features that the relation head of {self.model.name} takes: "
                "search without re-ranking, or build it with rerank=True"
            )
        if hide_copies and self.no_pictures:
            raise errors.GalleryError(self.no_pictures)

    def vote(self, images: Images, k: int = NEIGHBOURS) -> list[Vote]:
        """Classify by neighbours: let the k nearest images that have a label vote for it, the nearer the more.

        Args:
            images: the queries.
            k: images that vote on each.

        Returns:
            for each query the probabilities of `classes`, and who voted. See `hits.vote`.

        Raises:
            errors.ArgumentError: k is below 1, or no image of the gallery has a label.
        """
        labelled = self.labels >= 0
        if not labelled.any():
            raise errors.ArgumentError(
                "no image of the gallery has a label: index a data set, or a folder with one folder for each class"
            )
        where = None if labelled.all() else Filter(labelled=True)
        self._check_search(k, False, False)
        found = self._rows.search(question(self.model, images), k, False, where)
        by_query = zip(*(column.tolist() for column in found), strict=True)
        hits = [[list(hit) for hit in zip(*of_query, strict=True)] for of_query in by_query]
        return [vote(of_query, self.classes) for of_query in self._hits(hits)]

    def classify(self, images: Images, k: int = NEIGHBOURS) -> np.ndarray:
        """Return the probabilities of `vote`, float32 (N, C), one column for each of `classes`; errors as there."""
        votes = [one.probabilities for one in self.vote(images, k)]
        return np.stack(votes) if votes else np.empty((0, len(self.classes)), np.float32)

    def random_scores(self) -> np.ndarray:
        """Return the similarities of 10,000 random pairs of different images, float32, in ascending order.

        They say what a score is worth; a gallery of one image has none.
        """
        return self._rows.random_scores

    def comparison(self, judge: evidence.Judge | None = None) -> Comparison:
        """Return what judges pairs of rows: are they copies of one picture? By default as fitted for the model."""
        chosen = judge or evidence.judge_of(self.model.fingerprint if self.can_rerank else evidence.ANY)
        return Comparison(self._rows, self.thumbnail, chosen, self._rows.unit)

    def duplicates(
        self, precision: float = 0.99, folder: Folder | None = None, progress: OnProgress | None = None
    ) -> list[CopyGroup]:
        """Return groups of pictures that are copies of one another: saved again, scaled, cropped, framed, recoloured.

        Nothing is deleted. What shows next to nothing is never a copy, unless it is the same file.

        Args:
            precision: of the pairs within groups that share that were copies where it was measured; more finds fewer.
            folder: where the pictures' files are: each group's best one is then the first.
            progress: called with pictures seen and pairs of them compared, and with how many of both there may be.

        Raises:
            errors.ArgumentError: no threshold was measured to have that precision.
            errors.GalleryError: the gallery has `no_pictures`.
        """
        if self.no_pictures:
            raise errors.GalleryError(self.no_pictures)
        comparison = self.comparison()
        threshold = comparison.judge.threshold(precision)
        same = same_files(self._kept.thumbnails, self._kept.stamps)
        return find(comparison, self.sources, threshold, same, None if folder is None else Path(folder), progress)

    def thumbnail(self, row: int) -> Image.Image:
        """Return the thumbnail of an image, RGB.

        Raises:
            errors.ArgumentError: the gallery has no such row.
            errors.GalleryError: it is damaged, or the gallery has `no_pictures`.
        """
        if not 0 <= row < len(self):
            raise errors.ArgumentError(f"row {row} was asked for: the gallery has rows 0 to {len(self) - 1}")
        picture = self._pictures[row]
        if picture is None:
            raise errors.GalleryError(self.no_pictures)
        return picture

    def _hits(self, found: list[list[list[Any]]]) -> list[list[Hit]]:
        """Return hits of rows, scores and relation scores, by query."""
        if self._kept.ahead:
            self._kept.ahead(np.unique([row for of_query in found for row, _, _ in of_query]).astype(np.int64))
        return [[self._hit(*hit) for hit in of_query] for of_query in found]

    def _hit(self, row: int, score: float, relation: float | None) -> Hit:
        label = self.classes[self.labels[row]] if self.labels[row] >= 0 else None
        return Hit(score, label, self._pictures[row], self.sources[row], row, relation)
