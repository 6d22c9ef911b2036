"""Groups of copies from pairs that are likely copies. One wrong pair between two groups of eleven would make 121 of it:
so a pair joins single pictures, and two groups become one only where several pairs say so, or one is next to sure.
"""

import numpy as np

SURE = 0.99  # probability of a pair that joins two groups by itself
LINKS = 2  # likely pairs between two groups that join them,
SHARE = 0.2  # if they are so large a share of the pairs that were judged between the two


class Groups:
    """Disjoint sets of N rows, and how surely each row belongs to its own."""

    def __init__(self, count: int) -> None:
        """Begin with N = `count` sets of one."""
        self.label = np.arange(count)  # int64 (N,): equal within a set
        self.probability = np.zeros(count)
        self._members: dict[int, list[int]] = {}  # of sets of several, by label

    def rows(self, row: int) -> list[int]:
        """Return all rows of the set that a row is in."""
        return self._members.get(int(self.label[row]), [row])

    def join(self, left: int, right: int, probability: float) -> None:
        """Make one set of two."""
        larger, smaller = sorted((self.rows(left), self.rows(right)), key=len, reverse=True)
        if larger is not smaller:
            kept, gone = int(self.label[larger[0]]), int(self.label[smaller[0]])
            self.label[smaller] = kept
            self._members[kept] = larger + smaller
            self._members.pop(gone, None)
        for row in (left, right):
            self.probability[row] = max(self.probability[row], probability)

    def listed(self) -> list[list[int]]:
        """Return the sets of more than one row, in order."""
        return sorted(sorted(rows) for rows in self._members.values())


class Judged:
    """Pairs of N rows, int64 (P,) each, and how likely they are copies, float64 (P,)."""

    def __init__(self, left: np.ndarray, right: np.ndarray, probability: np.ndarray, count: int) -> None:
        """Remember pairs, none of them twice, of N = `count` rows."""
        self.left, self.right, self.probability = left, right, probability
        rows, self._others = np.concatenate([left, right]), np.concatenate([right, left])
        self._order = rows.argsort(kind="stable")
        self._starts = np.searchsorted(rows[self._order], np.arange(count + 1))

    def between(self, groups: Groups, left: int, right: int) -> np.ndarray:
        """Return the probabilities of the pairs between the sets that two rows are in."""
        some, others = sorted((groups.rows(left), groups.rows(right)), key=len)
        places = np.concatenate([self._order[self._starts[row] : self._starts[row + 1]] for row in some])
        chosen = places[groups.label[self._others[places]] == groups.label[others[0]]]
        found: np.ndarray = self.probability[chosen % len(self.left)]
        return found


def link(groups: Groups, judged: Judged, threshold: float) -> None:
    """Join the sets that pairs of at least the probability `threshold` say are one, the likeliest first.

    A pair joins two sets if one of them is a single row, or if it is SURE, or if at least LINKS of the judged pairs
    between both, and a SHARE of them, are of that probability. Larger sets may say what their parts did not: pairs are
    asked again until none joins any.
    """
    likely = np.flatnonzero(judged.probability >= threshold)
    likely = likely[np.argsort(-judged.probability[likely], kind="stable")]
    joined = True
    while joined:
        joined = False
        for number in likely[groups.label[judged.left[likely]] != groups.label[judged.right[likely]]].tolist():
            left, right = int(judged.left[number]), int(judged.right[number])
            if groups.label[left] == groups.label[right]:
                continue
            probability = float(judged.probability[number])
            if probability < SURE and min(len(groups.rows(left)), len(groups.rows(right))) > 1:
                links = judged.between(groups, left, right) >= threshold
                if links.sum() < LINKS or links.mean() < SHARE:
                    continue
            groups.join(left, right, probability)
            joined = True
