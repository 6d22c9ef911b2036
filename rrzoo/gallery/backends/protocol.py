"""What a gallery needs of a backend: an index of unit features by id."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rrzoo import errors

LENGTH_TOLERANCE = 1e-3  # by which the length of a unit feature may differ from 1


@dataclass(frozen=True)
class Limits:
    """What a backend can do."""

    exact: bool  # a search finds the nearest, always; else most of them
    largest_k: int | None  # hits of one query; None: any number
    filters: bool  # `search` takes ids as `where`
    columns: bool  # ... and a `Filter`, as it has the columns that one asks about
    persistent: bool  # it keeps what it holds on disk; else in memory, as long as it is in use


@dataclass(frozen=True)
class Filter:
    """What is asked of rows beside their features: all that is given here has to be so."""

    labelled: bool = False  # it has a label
    label: str | None = None  # it has this one
    newer: int | None = None  # its file was last changed then or later, ns since 1970
    older: int | None = None  # ... before then
    prefix: str = ""  # its source begins so


class Backend(Protocol):
    """N features of D numbers, each with an id of its own, int64."""

    @property
    def limits(self) -> Limits:
        """What it can do."""

    def __len__(self) -> int:
        """Return N."""

    def add(self, ids: np.ndarray, unit: np.ndarray) -> int:
        """Take features; those of an id that is known replace the old ones.

        Args:
            ids: int64 (M,), each once.
            unit: float32 (M, D), rows of unit length; a row may be 0, which is like nothing.

        Returns:
            how many of the ids are new: N has grown by so many.

        Raises:
            errors.ArgumentError: the arrays are not as above, or not finite. Nothing is changed then.
        """

    def remove(self, ids: np.ndarray) -> int:
        """Forget ids, int64 (M,), those that are known; return how many those are: N has shrunk by so many."""

    def search(
        self, queries: np.ndarray, k: int, where: np.ndarray | Filter | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest to each query. Nothing is changed by it.

        Args:
            queries: float32 (Q, D), rows of unit length.
            k: hits of each query, at least 1; where fewer features are there, as many as there are.
            where: ids to choose among, int64, of which unknown ones are ignored; or what is asked of them; None: all.

        Returns:
            ids, int64 (Q, k), and their cosine similarities, float32 (Q, k): highest first, ties by id.

        Raises:
            errors.ArgumentError: an argument is not as above, or outside of `limits`.
        """

    def features(self, ids: np.ndarray) -> np.ndarray:
        """Return the unit features of ids, int64 (M,), as float32 (M, D).

        Raises:
            errors.ArgumentError: an id is not known.
        """


def check_features(ids: np.ndarray, unit: np.ndarray, dimension: int) -> None:
    """Refuse what `Backend.add` may not take.

    Raises:
        errors.ArgumentError: see `Backend.add`.
    """
    check_unit(unit, dimension)
    if ids.dtype != np.int64 or ids.shape != unit.shape[:1] or len(np.unique(ids)) != len(ids):
        raise errors.ArgumentError(
            f"ids of {ids.dtype} {ids.shape} arrived with {len(unit)} features: give one int64 for each, none twice"
        )


def check_search(
    queries: np.ndarray, k: int, dimension: int, limits: Limits, where: np.ndarray | Filter | None
) -> None:
    """Refuse what `Backend.search` may not take.

    Raises:
        errors.ArgumentError: see `Backend.search`.
    """
    check_unit(queries, dimension)
    if isinstance(where, Filter) and not limits.columns:
        raise errors.ArgumentError(
            "a filter by columns arrived, and this backend has none: give the ids to choose among"
        )
    if k < 1 or (limits.largest_k is not None and k > limits.largest_k):
        most = "" if limits.largest_k is None else f" and at most {limits.largest_k}"
        raise errors.ArgumentError(f"k is {k}: ask for at least 1 hit{most}")


def check_unit(unit: np.ndarray, dimension: int) -> None:
    """Refuse what are no features of unit length.

    Raises:
        errors.ArgumentError: they are not float32 (N, D), not finite, or of another length than 1 or 0.
    """
    if unit.dtype != np.float32 or unit.ndim != 2 or unit.shape[1] != dimension:
        raise errors.ArgumentError(f"features of {unit.dtype} {unit.shape} arrived: float32 (N, {dimension}) is needed")
    if not np.isfinite(unit).all():
        raise errors.ArgumentError("features that are not finite arrived: check the model's weights")
    lengths = np.linalg.norm(unit, axis=1)
    wrong = (np.abs(lengths - 1) > LENGTH_TOLERANCE) & (lengths > 0)
    if wrong.any():
        raise errors.ArgumentError(f"a feature of length {lengths[wrong][0]:.4g} arrived: scale it to unit length")
