"""What a search finds, and what the nearest images with a label say of a picture's class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

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
