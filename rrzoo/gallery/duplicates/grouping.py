"""Groups of copies among the rows of a gallery: candidates by the index, each pair judged, the likely ones joined.

A picture's nearest come first, then the second nearest, and so on; pairs that surely are in one group need no look.
Most pictures have no copy: in large galleries, where a good model's two nearest are none, no more are looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from rrzoo.gallery.columns import Values
from rrzoo.gallery.duplicates.alignment import align
from rrzoo.gallery.duplicates.candidates import nearest
from rrzoo.gallery.duplicates.evidence import Judge, logit
from rrzoo.gallery.duplicates.linking import SURE, Groups, Judged, link
from rrzoo.gallery.duplicates.looks import Look
from rrzoo.progress import OnProgress

NEAREST = 16  # candidates of a picture
SMALL = 10_000  # pictures up to which all of them are looked at
BLOCK = 4096  # pairs at once
READERS = 2  # threads that decode thumbnails


class Pictures(Protocol):
    """What is known of N pictures."""

    can_rerank: bool  # whether `features` is there

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return what the relation head takes of rows, float32 (M, D)."""

    def relate(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return relation scores, float32 (M,), of pairs of features."""


@dataclass
class Comparison:
    """Judges pairs of pictures, and remembers what each looks like."""

    pictures: Pictures
    thumbnail: Callable[[int], Image.Image]
    judge: Judge
    unit: Values  # float32 (N, E)
    looks: dict[int, Look] = field(default_factory=dict)

    def likely(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return cosines and logits of pairs of rows, int64 (P,) each, and which are worth a look, bool (P,)."""
        cosines = np.einsum("nd,nd->n", self.unit[left], self.unit[right])
        logits = np.zeros(len(left))
        if self.pictures.can_rerank and len(left):
            logits = logit(self.pictures.relate(self.pictures.features(left), self.pictures.features(right)))
        return cosines, logits, self.judge.is_likely(cosines, logits)

    def agreement(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return what `align` says of pairs of rows, float32 (P, 2); 0 where one shows next to nothing."""
        looks = self._looks_of(np.concatenate([left, right]))
        return _aligned(looks[: len(left)], looks[len(left) :])

    def probability(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return how likely pairs of rows are copies, float64 (P,)."""
        found = np.zeros(len(left))
        cosines, logits, likely = self.likely(left, right)
        if likely.any():
            agreement = self.agreement(left[likely], right[likely])
            found[likely] = self.judge.probability(cosines[likely], logits[likely], agreement)
        return found

    def probability_of(self, look: Look, unit: np.ndarray, relation: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return how likely rows, int64 (M,), are copies of another picture, float64 (M,).

        Args:
            look: what the picture shows.
            unit: its embedding, float32 (E,).
            relation: what the relation head takes of it, float32 (D,).
            rows: int64 (M,).
        """
        cosines, logits = self.unit[rows] @ unit, np.zeros(len(rows))
        if self.pictures.can_rerank and len(rows):
            left = np.repeat(relation[None], len(rows), axis=0)
            logits = logit(self.pictures.relate(left, self.pictures.features(rows)))
        agreement = _aligned([look] * len(rows), self._looks_of(rows))
        return np.where(self.judge.is_likely(cosines, logits), self.judge.probability(cosines, logits, agreement), 0.0)

    def _looks_of(self, rows: np.ndarray) -> list[Look]:
        missing = [row for row in np.unique(rows).tolist() if row not in self.looks]
        with ThreadPoolExecutor(READERS) as readers:
            self.looks |= zip(missing, readers.map(lambda row: Look.of(self.thumbnail(row)), missing), strict=True)
        return [self.looks[row] for row in rows.tolist()]


def _aligned(left: Sequence[Look], right: Sequence[Look]) -> np.ndarray:
    """Return what `align` says of pairs, float32 (P, 2); 0 where one shows next to nothing."""
    seen = [number for number, (one, two) in enumerate(zip(left, right, strict=True)) if not (one.flat or two.flat)]
    agreement = np.zeros((len(left), 2), np.float32)
    agreement[seen] = align([left[number].grey for number in seen], [right[number].grey for number in seen])
    return agreement


def group(
    comparison: Comparison, threshold: float, same: Sequence[Sequence[int]] = (), progress: OnProgress | None = None
) -> Groups:
    """Join the pairs that are copies with a probability of `threshold` or more, as `link` does.

    Args:
        comparison: judges the pairs.
        threshold: 0 to 1.
        same: rows that are known to be the same file.
        progress: called with pairs done, and with how many there will be at most, as far as is known by then.
    """
    groups = Groups(len(comparison.unit))
    for rows in same:
        for row in rows[1:]:
            groups.join(rows[0], row, 1.0)
    near = nearest(torch.from_numpy(np.asarray(comparison.unit)), min(NEAREST, len(comparison.unit) - 1)).numpy()
    has_copy = np.zeros(len(near), bool)
    has_copy[[row for rows in same for row in rows]] = True
    done, parts = 0, [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    first = NEAREST if len(near) <= SMALL else comparison.judge.first or NEAREST
    for left, right, more in _rounds(near, has_copy, first):
        apart = groups.label[left] != groups.label[right]
        left, right, done = left[apart], right[apart], done + len(left)
        probability = comparison.probability(left, right)
        parts.append((left, right, probability))
        for pair in np.flatnonzero(probability >= max(threshold, SURE)).tolist():
            groups.join(int(left[pair]), int(right[pair]), float(probability[pair]))
        likely = probability >= threshold
        has_copy[left[likely]] = has_copy[right[likely]] = True
        if progress:
            progress(done, done + more)
    lefts, rights, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
    link(groups, Judged(lefts, rights, probabilities, len(near)), threshold)
    if progress:
        progress(done, done)
    return groups


def pairs_of_nearest(unit: Values, k: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of rows and their k nearest, int64 (P,) each, smaller rows left; no pair twice."""
    near = nearest(torch.from_numpy(np.asarray(unit)), min(k, len(unit) - 1)).numpy()
    left, right, _ = zip(*_rounds(near, np.ones(len(near), bool), k), strict=True)
    return np.concatenate(left), np.concatenate(right)


def _rounds(near: np.ndarray, has_copy: np.ndarray, first: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield pairs of rows and their nearest, int64 (N, k), the first column first, in blocks; no pair twice.

    After the `first` columns, rows take part of which `has_copy`, bool (N,), says so by then. The third number is how
    many pairs may follow.
    """
    seen = np.empty(0, np.int64)
    for rank, column in enumerate(near.T):
        rows = np.flatnonzero((column >= 0) & (has_copy | (rank < first)))
        columns, rest = min(first, near.shape[1]) - rank - 1, near.shape[1] - max(rank + 1, first)
        later = len(near) * max(0, columns) + int(has_copy.sum()) * max(0, rest)
        low, high = np.minimum(rows, column[rows]), np.maximum(rows, column[rows])
        keys = np.setdiff1d(low * len(near) + high, seen)
        seen = np.union1d(seen, keys)
        for start in range(0, len(keys), BLOCK):
            some = keys[start : start + BLOCK]
            yield some // len(near), some % len(near), len(keys) - start - len(some) + later
