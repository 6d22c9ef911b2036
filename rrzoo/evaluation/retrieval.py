"""How well a ranking by features finds images of the query's class: mean average precision, precision at k."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 512  # queries at a time: a whole matrix of similarities would not fit

Rescore = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows (Q,) and their hits (Q, k) -> scores (Q, k)


def retrieval(features: np.ndarray, labels: np.ndarray, cutoffs: tuple[int, ...] = (1, 10, 100)) -> dict[str, float]:
    """Let every image search among all others, by cosine, and look for its class.

    Args:
        features: float (N, D), N at least 2.
        labels: int (N,). Images that are alone in their class are not asked for: nothing could be found.
        cutoffs: k of the precisions; those of N and above are left out.

    Returns:
        "map": mean average precision over the whole ranking, 0 to 1 (Manning et al. 2008, section 8.4), and
        "precision@k": mean share of the query's class among the first k.
    """
    return _measure(features, labels, cutoffs, None, 0)[0]


def reranked_retrieval(
    features: np.ndarray,
    labels: np.ndarray,
    rescore: Rescore,
    first: int,
    cutoffs: tuple[int, ...] = (1, 10, 100),
) -> tuple[dict[str, float], dict[str, float]]:
    """Return what `retrieval` returns, and the same after the `first` hits of each query were sorted by `rescore`.

    The highest score comes first, equal scores stay in the order of cosine, and so does what follows the first hits.
    """
    plain, reranked = _measure(features, labels, cutoffs, rescore, first)
    return plain, reranked


def _measure(
    features: np.ndarray, labels: np.ndarray, cutoffs: tuple[int, ...], rescore: Rescore | None, first: int
) -> list[dict[str, float]]:
    unit = F.normalize(torch.from_numpy(features).float())
    classes = torch.from_numpy(labels)
    cutoffs = tuple(k for k in cutoffs if k < len(unit))
    measured: list[list[Tensor]] = [[], []]  # of the plain ranking, of the other one
    for start in range(0, len(unit), BLOCK):
        rows = torch.arange(start, min(start + BLOCK, len(unit)))
        similarity = unit[rows] @ unit.T
        similarity[torch.arange(len(rows)), rows] = -torch.inf  # the query itself comes last and is cut off
        order = similarity.argsort(dim=1, descending=True, stable=True)[:, :-1]
        relevant = (classes[order] == classes[rows, None]).float()  # (block, N - 1)
        answerable = relevant.any(1)
        measured[0].append(_precisions(relevant[answerable], cutoffs))
        if rescore is not None:
            scores = torch.from_numpy(rescore(rows.numpy(), order[:, :first].numpy()))
            resorted = scores.argsort(dim=1, descending=True, stable=True)
            relevant[:, :first] = relevant[:, :first].gather(1, resorted)
            measured[1].append(_precisions(relevant[answerable], cutoffs))
    keys = ["map", *(f"precision@{k}" for k in cutoffs)]
    means = [torch.cat(blocks).mean(0).tolist() for blocks in measured if blocks]
    return [dict(zip(keys, values, strict=True)) for values in means]


def _precisions(relevant: Tensor, cutoffs: tuple[int, ...]) -> Tensor:
    """Return average precision and precisions at `cutoffs`, (Q, 1 + cutoffs), given 0 or 1 by rank, (Q, N)."""
    ranks = torch.arange(1, relevant.shape[1] + 1, dtype=torch.float32)
    average = (relevant * relevant.cumsum(1) / ranks).sum(1) / relevant.sum(1)
    return torch.stack([average, *(relevant[:, :k].mean(1) for k in cutoffs)], 1)
