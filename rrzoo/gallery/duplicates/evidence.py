"""How likely is it that two pictures are copies: a logistic regression over cosine, relation score and alignment.

A quick one, with a look at 12 px instead of alignment, says before which pairs can't be.

Its numbers are in calibration.json, for each model that they were fitted for, and for all others without what depends
on the model; `scripts/duplicates.py` makes them anew.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import errors, records

CALIBRATION = Path(__file__).with_name("calibration.json")
FORMAT = 2
ANY = "any"  # the entry for models that nothing was fitted for
SUREST = 1e-6  # how far from 0 and 1 relation scores are taken
CLOSEST = 0.99  # correlation beyond which agreement counts no more
MOST = 0.999  # precision that can be asked for: of the pairs that were measured, none may have been wrong by luck


@dataclass(frozen=True)
class Precision:
    """What was measured: of the pairs in groups from a probability on, so many were copies."""

    probability: float
    precision: float


@dataclass(frozen=True)
class Judge:
    """What was fitted for one model."""

    quick: tuple[float, ...]  # weights of cosine, the relation score's logit and atanh of `resemblance`, and a constant
    least: float  # of the quick sum, from which on a pair is looked at
    full: tuple[float, ...]  # weights of cosine, logit, atanh of the correlation, and overlap, and a constant
    measured: tuple[Precision, ...]  # ascending probabilities

    def is_likely(self, cosines: np.ndarray, logits: np.ndarray, resemblances: np.ndarray) -> np.ndarray:
        """Say which pairs, (P,) each, are worth laying on one another, bool (P,)."""
        likely: np.ndarray = self.quick_sum(cosines, logits, resemblances) >= self.least
        return likely

    def quick_sum(self, cosines: np.ndarray, logits: np.ndarray, resemblances: np.ndarray) -> np.ndarray:
        """Return what `least` is compared with, float64 (P,)."""
        return _weighted(self.quick, (cosines, logits, straightened(resemblances)))

    def probability(self, cosines: np.ndarray, logits: np.ndarray, agreement: np.ndarray) -> np.ndarray:
        """Return how likely pairs are copies, float64 (P,), given also what `align` says, (P, 2)."""
        total = _weighted(self.full, (cosines, logits, *terms(agreement)))
        return np.where(agreement[:, 0] > 0, 1 / (1 + np.exp(-total)), 0.0)

    def threshold(self, precision: float) -> float:
        """Return the least probability from which on groups were measured to have that precision.

        Raises:
            errors.ArgumentError: it is not between 0.5 and the highest one measured, or 0.999.
        """
        most = min(MOST, max(one.precision for one in self.measured))
        if not 0.5 <= precision <= most:
            raise errors.ArgumentError(f"precision is {precision}: 0.5 to {most:g} can be asked for")
        return next(one.probability for one in self.measured if one.precision >= precision)


@dataclass(frozen=True)
class Calibration:
    """All of calibration.json."""

    format: int
    how: str  # it was made
    judges: dict[str, Judge]  # by fingerprint of the model, or ANY
    names: dict[str, str]  # fingerprint -> name of the model


@functools.cache
def calibration() -> Calibration:
    """Return what ships."""
    return records.from_dict(Calibration, records.read(CALIBRATION, FORMAT))


def judge_of(fingerprint: str) -> Judge:
    """Return what was fitted for a model, or for any."""
    judges = calibration().judges
    return judges.get(fingerprint, judges[ANY])


def terms(agreement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the sum takes of `align`'s correlation and overlap, (P, 2)."""
    return straightened(agreement[:, 0]), agreement[:, 1]


def straightened(correlation: np.ndarray) -> np.ndarray:
    """Return what sums take of correlations, (P,): atanh, Fisher's z."""
    found: np.ndarray = np.arctanh(correlation.clip(-CLOSEST, CLOSEST))
    return found


def logit(scores: np.ndarray) -> np.ndarray:
    """Return the logits of relation scores, float64 (P,)."""
    inside = scores.astype(np.float64).clip(SUREST, 1 - SUREST)
    logits: np.ndarray = np.log(inside / (1 - inside))
    return logits


def _weighted(weights: Sequence[float], columns: Sequence[np.ndarray]) -> np.ndarray:
    total: np.ndarray = np.stack(columns, 1) @ np.array(weights[:-1]) + weights[-1]
    return total
