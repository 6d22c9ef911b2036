"""The slow, obvious backend: what all others are compared with."""

import numpy as np

from rrzoo import errors
from rrzoo.gallery.backends.protocol import Filter, Limits, check_features, check_search


class BruteForce:
    """Features by id; each query is compared with each of them."""

    limits = Limits(exact=True, largest_k=None, filters=True, columns=False, persistent=False)

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.unit: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.unit)

    def add(self, ids: np.ndarray, unit: np.ndarray) -> int:
        check_features(ids, unit, self.dimension)
        before = len(self)
        self.unit |= {number: feature.copy() for number, feature in zip(ids.tolist(), unit, strict=True)}
        return len(self) - before

    def remove(self, ids: np.ndarray) -> int:
        return sum(self.unit.pop(number, None) is not None for number in ids.tolist())

    def search(
        self, queries: np.ndarray, k: int, where: np.ndarray | Filter | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        check_search(queries, k, self.dimension, self.limits, where)
        assert not isinstance(where, Filter)
        chosen = sorted(self.unit if where is None else self.unit.keys() & set(where.tolist()))
        k = min(k, len(chosen))
        ids, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for row, query in enumerate(queries.astype(np.float64)):
            similarities = [np.float32((query * self.unit[number]).sum()) for number in chosen]
            best = sorted(zip(similarities, chosen, strict=True), key=lambda pair: (-pair[0], pair[1]))[:k]
            scores[row], ids[row] = [score for score, _ in best], [number for _, number in best]
        return ids, scores

    def features(self, ids: np.ndarray) -> np.ndarray:
        try:
            found = [self.unit[number] for number in ids.tolist()]
        except KeyError as problem:
            raise errors.ArgumentError(f"id {problem} is not known") from None
        return np.stack(found) if found else np.empty((0, self.dimension), np.float32)
