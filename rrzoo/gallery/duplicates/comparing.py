"""How likely pairs of a gallery's rows are copies, and what their pictures look like, each looked at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from rrzoo.gallery.columns import Values
from rrzoo.gallery.duplicates.alignment import align
from rrzoo.gallery.duplicates.evidence import Judge, logit
from rrzoo.gallery.duplicates.looks import Look, looks_of
from rrzoo.gallery.duplicates.screening import resemblance

READERS = 2  # threads that decode thumbnails,
READ = 64  # so many at a time


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

    def scores(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and logits, (P,) each, of pairs of rows, int64 (P,) each."""
        cosines = np.einsum("nd,nd->n", self.unit[left], self.unit[right])
        logits = np.zeros(len(left))
        if self.pictures.can_rerank and len(left):
            logits = logit(self.pictures.relate(self.pictures.features(left), self.pictures.features(right)))
        return cosines, logits

    def resemblance(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return what `resemblance` says of pairs of rows, float32 (P,)."""
        return resemblance(self.looks_of(left), self.looks_of(right))

    def agreement(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return what `align` says of pairs of rows, float32 (P, 2)."""
        return align(self.looks_of(left), self.looks_of(right))

    def probability(self, left: np.ndarray, right: np.ndarray, resembling: float = -1.0) -> np.ndarray:
        """Return how likely pairs of rows are copies, float64 (P,): 0 where they are less `resembling` than that."""
        found, alike = np.zeros(len(left)), self.resemblance(left, right)
        enough = alike >= resembling
        left, right = left[enough], right[enough]
        found[enough] = self._judged(
            *self.scores(left, right), alike[enough], self.looks_of(left), self.looks_of(right)
        )
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
        mine, theirs = [look] * len(rows), self.looks_of(rows)
        return self._judged(cosines, logits, resemblance(mine, theirs), mine, theirs)

    def looks_of(self, rows: np.ndarray) -> list[Look]:
        """Return what rows, int64 (M,), show."""
        missing = [row for row in np.unique(rows).tolist() if row not in self.looks]
        parts = [missing[start : start + READ] for start in range(0, len(missing), READ)]
        with ThreadPoolExecutor(READERS) as readers:
            for part, looks in zip(parts, readers.map(self._seen, parts), strict=True):
                self.looks |= zip(part, looks, strict=True)
        return [self.looks[row] for row in rows.tolist()]

    def _judged(
        self,
        cosines: np.ndarray,
        logits: np.ndarray,
        resemblances: np.ndarray,
        left: Sequence[Look],
        right: Sequence[Look],
    ) -> np.ndarray:
        found = np.zeros(len(left))
        likely = np.flatnonzero(self.judge.is_likely(cosines, logits, resemblances)).tolist()
        agreement = align([left[pair] for pair in likely], [right[pair] for pair in likely])
        found[likely] = self.judge.probability(cosines[likely], logits[likely], agreement)
        return found

    def _seen(self, rows: Sequence[int]) -> list[Look]:
        return looks_of([self.thumbnail(row) for row in rows])
