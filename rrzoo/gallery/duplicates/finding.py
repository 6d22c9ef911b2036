"""Groups of copies, the best of each first. Nothing is ever deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo.gallery.columns import Values
from rrzoo.gallery.duplicates.best import Quality, best_first
from rrzoo.gallery.duplicates.grouping import Comparison, group
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

    @property
    def best(self) -> Copy:
        """The one to keep, if you keep one: most pixels, sharpest, least compressed."""
        return self.copies[0]


def find(
    comparison: Comparison,
    sources: Sequence[str],
    threshold: float,
    same: Sequence[Sequence[int]] = (),
    folder: Path | None = None,
    progress: OnProgress | None = None,
) -> list[CopyGroup]:
    """Return the groups of copies, in the order of their first pictures.

    Args:
        comparison: judges pairs of rows.
        sources: of the rows, N; paths within `folder`.
        threshold: probability from which on two pictures are copies.
        same: rows that are known to be the same file.
        folder: where the files are, by which the best is told; without it, the order within a group is that of rows.
        progress: called with pairs done and pairs in all.
    """
    groups = group(comparison, threshold, same, progress)
    found = []
    for rows in groups.listed():
        qualities = [Quality.of(folder / sources[row]) if folder else None for row in rows]
        copies = [
            Copy(row, sources[row], float(groups.probability[row]), quality)
            for row, quality in zip(rows, qualities, strict=True)
        ]
        found.append(CopyGroup(tuple(copies[number] for number in best_first(qualities))))
    return found


def same_files(thumbnails: Thumbnails | None, stamps: Values | None) -> list[list[int]]:
    """Return rows whose files have as many bytes, and the same thumbnail: one file under several names."""
    if thumbnails is None or stamps is None:
        return []
    rows: dict[tuple[int, bytes], list[int]] = {}
    sizes = np.asarray(stamps)[:, 0].tolist()
    for row, (size, file) in enumerate(zip(sizes, thumbnails.files, strict=True)):
        rows.setdefault((size, file), []).append(row)
    return [several for several in rows.values() if len(several) > 1]
