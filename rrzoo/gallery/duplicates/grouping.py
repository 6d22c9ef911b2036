"""Groups of copies among the rows of a gallery: candidates by the index, each pair judged, the likely ones joined.

What looks most like a picture at a glance comes first, then its nearest by embedding, the second nearest, and so on;
pairs that surely are in one group need no look. Most pictures have no copy: in large galleries, where the first few are
none, no more are looked at.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from rrzoo.gallery.duplicates.comparing import Comparison
from rrzoo.gallery.duplicates.linking import SURE, Groups, Judged, link
from rrzoo.gallery.duplicates.neighbours import nearest
from rrzoo.gallery.duplicates.screening import glances
from rrzoo.progress import OnProgress

NEAREST = 16  # candidates of a picture by its embedding, beside one by its looks
SMALL = 30_000  # pictures up to which all of them are compared
FIRST = 2  # candidates of more pictures that are compared where none of these is a copy,
RESEMBLING = 0.43  # and their least resemblance
BLOCK = 4096  # pairs at once


def group(
    comparison: Comparison, threshold: float, same: Sequence[Sequence[int]] = (), progress: OnProgress | None = None
) -> Groups:
    """Join the pairs that are copies with a probability of `threshold` or more, as `link` does.

    Args:
        comparison: judges the pairs.
        threshold: 0 to 1.
        same: rows that are known to be the same file.
        progress: called with pictures seen and pairs compared, and with how many of both there will be at most, as far
            as is known by then.
    """
    groups = Groups(len(comparison.unit))
    for rows in same:
        for row in rows[1:]:
            groups.join(rows[0], row, 1.0)
    near = candidates(comparison, NEAREST, progress)
    has_copy = np.zeros(len(near), bool)
    has_copy[[row for rows in same for row in rows]] = True
    done, parts = len(near), [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    first, resembling = (near.shape[1], -1.0) if len(near) <= SMALL else (FIRST, RESEMBLING)
    for left, right, more in _rounds(near, has_copy, first):
        apart = groups.label[left] != groups.label[right]
        left, right, done = left[apart], right[apart], done + len(left)
        probability = comparison.probability(left, right, resembling)
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


def pairs(comparison: Comparison, k: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of rows and their candidates, int64 (P,) each, smaller rows left; no pair twice."""
    near = candidates(comparison, k)
    left, right, _ = zip(*_rounds(near, np.ones(len(near), bool), near.shape[1]), strict=True)
    return np.concatenate(left), np.concatenate(right)


def candidates(comparison: Comparison, k: int, progress: OnProgress | None = None) -> np.ndarray:
    """Return which rows may be copies of each row: int64 (N, 1 + k), -1 where there are fewer.

    The first one looks most like it at a glance; the k nearest by embedding follow.
    """
    count, seen = len(comparison.unit), []
    with ThreadPoolExecutor(1) as beside:
        near = beside.submit(nearest, torch.from_numpy(np.asarray(comparison.unit)), min(k, count - 1))
        for rows in np.array_split(np.arange(count), -(-count // BLOCK)):
            seen.append(glances(comparison.looks_of(rows)))
            if progress:
                progress(int(rows[-1]) + 1, count * (2 + k))
    alike = nearest(torch.cat(seen), 1)
    alike[~torch.cat(seen).any(1)] = -1
    found: np.ndarray = torch.cat([alike, near.result()], 1).numpy()
    return found


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
