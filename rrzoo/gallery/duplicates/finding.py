"""Groups of copies, and series, the best of each first. Nothing is ever deleted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo.gallery.columns import Values
from rrzoo.gallery.duplicates.best import Quality, best_first
from rrzoo.gallery.duplicates.comparing import Comparison
from rrzoo.gallery.duplicates.grouping import group
from rrzoo.gallery.duplicates.moments import moments
from rrzoo.gallery.thumbnails import Thumbnails
from rrzoo.progress import OnProgress


@dataclass(frozen=True)
class Copy:
    """One picture of a group."""

    row: int  # within the gallery
    source: str
    probability: float  # that it is a copy of another one of its group: the highest of the pairs that were looked at
    quality: Quality | None  # None where its file is not at hand


@dataclass(frozen=True)
class CopyGroup:
    """Pictures that show the same, the best one first."""

    copies: tuple[Copy, ...]
    series: bool = False  # one picture each of several moments, such as a burst: alike, but no copies

    @property
    def best(self) -> Copy:
        """The one to keep, if you keep one: most pixels, sharpest, least compressed."""
        return self.copies[0]

    @property
    def title(self) -> str:
        """What the group is, in words."""
        return f"a series, {len(self.copies)} moments" if self.series else f"{len(self.copies)} pictures"


def find(
    comparison: Comparison,
    sources: Sequence[str],
    threshold: float,
    same: Sequence[Sequence[int]] = (),
    folder: Path | None = None,
    progress: OnProgress | None = None,
) -> list[CopyGroup]:
    """Return the groups of copies, in the order of their first pictures, each followed by the series that it is in.

    Pictures that are as alike as copies, but were taken at several moments, are a series: the best of each moment.

    Args:
        comparison: judges pairs of rows.
        sources: of the rows, N; paths within `folder`.
        threshold: probability from which on two pictures are copies.
        same: rows that are known to be the same file.
        folder: where the files are, by which the best is told, and series; without it there are none, and the order
            within a group is that of rows.
        progress: called with pictures seen and pairs compared, and with how many of both there may be.
    """
    groups = group(comparison, threshold, same, progress)
    found: list[CopyGroup] = []
    for rows in groups.listed():
        copies = [
            Copy(
                row,
                sources[row],
                float(groups.probability[row]),
                Quality.of(folder / sources[row]) if folder else None,
            )
            for row in rows
        ]
        times = moments([folder / sources[row] for row in rows], comparison.unit[rows]) if folder else [""] * len(rows)
        found += _divided(copies, times)
    return found


def _divided(copies: Sequence[Copy], times: Sequence[str]) -> Iterator[CopyGroup]:
    """Yield the copies of each moment, and the best of each as a series where there are several."""
    taken: dict[str, list[Copy]] = {}
    for copy, time in zip(copies, times, strict=True):
        taken.setdefault(time, []).append(copy)
    best = []
    for _, of_one in sorted(taken.items()):
        ordered = tuple(of_one[number] for number in best_first([copy.quality for copy in of_one]))
        best.append(ordered[0])
        if len(ordered) > 1:
            yield CopyGroup(ordered)
    if len(best) > 1:
        yield CopyGroup(tuple(best[number] for number in best_first([copy.quality for copy in best])), series=True)


def same_files(thumbnails: Thumbnails | None, stamps: Values | None) -> list[list[int]]:
    """Return rows whose files have as many bytes, and the same thumbnail: one file under several names."""
    if thumbnails is None or stamps is None:
        return []
    rows: dict[tuple[int, bytes], list[int]] = {}
    sizes = np.asarray(stamps)[:, 0].tolist()
    for row, (size, file) in enumerate(zip(sizes, thumbnails.files, strict=True)):
        rows.setdefault((size, file), []).append(row)
    return [several for several in rows.values() if len(several) > 1]
