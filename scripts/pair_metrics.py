"""Scores of pairs of features, each fitted to views of pictures without labels: what a relation head competes with.

A metric takes views, float32 (K, N, D), the first of the unaltered pictures, and returns a `Score`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from rrzoo.evaluation import whitening
from rrzoo.relation import RelationHead

DIRECTIONS = 256  # at most, that linear metrics are fitted in; as the head
SHRINKAGE = 0.1  # share of the mean variance in the covariance within pictures
BLOCK = 512  # rows at a time

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # float32 (L, D) and (R, D) -> float32 (L, R)


def cosine(centre: np.ndarray | float = 0.0) -> Score:
    """Return the cosine, of features from which `centre` is subtracted."""

    def score(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        one, other = (F.normalize(torch.from_numpy(side - centre).float()) for side in (left, right))
        found: np.ndarray = (one @ other.T).numpy()
        return found

    return score


def centred(views: np.ndarray) -> Score:
    """Return the cosine of features of mean 0."""
    return cosine(views.mean((0, 1)))


def whitened(views: np.ndarray) -> Score:
    """Return the cosine of features whose main directions have one variance."""
    rows = views.reshape(-1, views.shape[2])
    weight, bias = whitening.fit(rows, min(DIRECTIONS, views.shape[2], len(rows) // 2), attenuation=1.0)
    plain = cosine()
    return lambda left, right: plain(left @ weight.T + bias, right @ weight.T + bias)


@dataclass(frozen=True)
class Instances:
    """Features where those of one picture's views have variance 1 in each direction, uncorrelated, and pictures differ.

    Linear discriminant analysis (Fisher 1936; Rao 1948), each picture being a class and its views the members.
    """

    mean: np.ndarray  # (D,)
    weight: np.ndarray  # (P, D), directions by descending variance between pictures
    between: np.ndarray  # (P,), the variance between pictures, where that within is 1

    @classmethod
    def of(cls, views: np.ndarray) -> "Instances":
        """Fit it in the main directions of views."""
        rows = views.reshape(-1, views.shape[2])
        size = min(DIRECTIONS, views.shape[2], len(rows) // 2)
        main, shift = whitening.fit(rows, size, attenuation=0.0)
        inside = (views @ main.T + shift).astype(np.float64)
        means, count = inside.mean(0), len(views)
        apart = (inside - means).reshape(-1, size)
        within = apart.T @ apart / (len(apart) * (count - 1) / count)
        within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / size * np.eye(size)
        values, vectors = np.linalg.eigh(within)
        equal = vectors / np.sqrt(values)  # (P, P), maps to variance 1 within pictures
        spread, turned = np.linalg.eigh(np.cov((means @ equal).T))
        between = np.maximum(spread[::-1] - 1 / count, 1e-6)  # means of K views still hold 1 / K of the variance within
        weight = (equal @ turned[:, ::-1]).T @ main
        return cls(rows.mean(0), weight.astype(np.float32), between.astype(np.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map (N, D) to (N, P)."""
        found: np.ndarray = (features - self.mean) @ self.weight.T
        return found


def discriminant(views: np.ndarray) -> Score:
    """Return the cosine after linear discriminant analysis on instances."""
    space, plain = Instances.of(views), cosine()
    return lambda left, right: plain(space(left), space(right))


def likelihood_ratio(views: np.ndarray) -> Score:
    """Return the log-likelihood ratio of one picture against two, of normal distributions within and between pictures.

    Two-covariance model, also called joint Bayesian (Chen et al. 2012) and PLDA (Ioffe 2006); here W is the identity
    and B diagonal, so that each direction adds its own ratio.
    """
    space = Instances.of(views)
    b, total = space.between, space.between + 1
    joint = total**2 - b**2
    cross, square = b / joint, (total / joint - 1 / total) / 2
    constant = -0.5 * np.log(joint / total**2).sum()

    def score(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        x, y = space(left), space(right)
        found: np.ndarray = (x * cross) @ y.T - ((x**2) @ square)[:, None] - ((y**2) @ square)[None] + constant
        return found

    return score


def by_head(head: RelationHead) -> Score:
    """Return the logits of a relation head, both orders averaged."""

    @torch.no_grad()
    def score(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found: np.ndarray = head.score_all(*(torch.from_numpy(side).float() for side in (left, right))).numpy()
        return found

    return score


METRICS: dict[str, Callable[[np.ndarray], Score]] = {
    "cosine": lambda views: cosine(),
    "cosine, centred": centred,
    "cosine, whitened": whitened,
    "cosine, LDA on instances": discriminant,
    "likelihood ratio (PLDA)": likelihood_ratio,
}
