"""Positions in two dimensions, and the groups that labels make there.

The positions of few pictures are found by t-SNE, those of many by PaCMAP (Wang et al. 2021, arXiv 2012.04456).
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrzoo import errors
from rrzoo.gallery.gallery import Gallery
from rrzoo.gallery.map import tsne

LEAST, FEW, MOST = 20, 500, 100_000  # pictures; more than FEW are left to PaCMAP
GRID = 40  # cells to a side that groups are found on
SHARE = 0.01  # of the pictures, that a group is named from
NAMED = 40  # groups at most


@dataclass(frozen=True)
class Group:
    """Neighbouring places where most pictures have one label."""

    label: str
    x: float
    y: float
    pictures: int


@dataclass(frozen=True)
class Layout:
    """Where pictures of a gallery lie."""

    rows: np.ndarray  # int64 (M,) of the gallery, ascending
    places: np.ndarray  # float32 (M, 2), 0 to 1; near ones are alike, what is far apart says little

    def of_query(self, neighbours: Sequence[int]) -> tuple[float, float]:
        """Return where a picture falls whose nearest rows are given: the middle (median) of those that are shown.

        Raises:
            errors.ArgumentError: none of them is shown.
        """
        shown = np.isin(self.rows, np.array(neighbours))
        if not shown.any():
            raise errors.ArgumentError("none of the picture's nearest is on the map: ask for more of them")
        x, y = np.median(self.places[shown], axis=0)
        return float(x), float(y)


def lay_out(gallery: Gallery, seed: int = 0, most: int = MOST) -> Layout:
    """Lay a gallery out; of more than `most` pictures so many are drawn at random. One seed gives one map.

    Raises:
        errors.ArgumentError: PaCMAP is not installed, and there are more than 500 pictures.
        errors.GalleryError: there are fewer than 20 pictures.
    """
    if len(gallery) < LEAST:
        raise errors.GalleryError(f"{len(gallery)} pictures are too few for a map: at least {LEAST} are needed")
    rows = np.sort(np.random.default_rng(seed).permutation(len(gallery))[:most])
    unit = gallery.unit()[rows]
    places = tsne.positions(unit, seed) if len(rows) <= FEW else _by_pacmap(unit, seed)
    low, high = places.min(0), places.max(0)
    scale = max(float((high - low).max()), 1e-12)  # one for both, so that distances keep their meaning
    centred = (places - (low + high) / 2) / scale + 0.5
    return Layout(rows, centred.astype(np.float32))


def _by_pacmap(unit: np.ndarray, seed: int) -> np.ndarray:
    if importlib.util.find_spec("pacmap") is None:
        raise errors.ArgumentError(
            f"a map of more than {FEW} pictures needs the package pacmap: pip install 'rrzoo[map]'"
        )
    import pacmap

    places: np.ndarray = pacmap.PaCMAP(n_components=2, n_neighbors=10, random_state=seed).fit_transform(unit)
    return places


def groups(places: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> list[Group]:
    """Return the largest groups, at most 40: connected cells of a grid where most pictures have one label.

    Args:
        places: float (M, 2), 0 to 1.
        labels: int (M,), numbers of `classes`, -1 for none.
        classes: their names.
    """
    if not len(classes):
        return []
    cells = np.minimum((places * GRID).astype(int), GRID - 1)
    counts = np.zeros((len(classes), GRID, GRID), np.int64)
    known = labels >= 0
    np.add.at(counts, (labels[known], cells[known, 0], cells[known, 1]), 1)
    most = np.where(counts.sum(0) > 0, counts.argmax(0), -1)
    found, seen = [], np.zeros((GRID, GRID), bool)
    for start in np.argwhere(most >= 0).tolist():
        together = _connected(most, seen, (start[0], start[1]))
        if not together:
            continue
        own = most[together[0]]
        weights = np.array([counts[own, x, y] for x, y in together])
        middle = (np.array(together) + 0.5).T @ weights / weights.sum() / GRID
        found.append(Group(classes[own], float(middle[0]), float(middle[1]), int(weights.sum())))
    found.sort(key=lambda group: -group.pictures)
    return [group for group in found if group.pictures >= max(3, SHARE * len(places))][:NAMED]


def _connected(most: np.ndarray, seen: np.ndarray, start: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the cells with the label of `start` that are reached from it side by side, and mark them as seen."""
    together, waiting = [], [start]
    while waiting:
        x, y = waiting.pop()
        if not (0 <= x < GRID and 0 <= y < GRID) or seen[x, y] or most[x, y] != most[start]:
            continue
        seen[x, y] = True
        together.append((x, y))
        waiting += [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
    return together
