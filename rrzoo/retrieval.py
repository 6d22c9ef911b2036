"""How well a ranking by features finds images of the query's class: mean average precision, precision at k."""

import numpy as np
import torch
import torch.nn.functional as F

BLOCK = 512  # queries at a time: a whole matrix of similarities would not fit


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
    unit = F.normalize(torch.from_numpy(features).float())
    classes = torch.from_numpy(labels)
    cutoffs = tuple(k for k in cutoffs if k < len(unit))
    ranks = torch.arange(1, len(unit), dtype=torch.float32)
    precisions, shares = [], []
    for start in range(0, len(unit), BLOCK):
        rows = torch.arange(start, min(start + BLOCK, len(unit)))
        similarity = unit[rows] @ unit.T
        similarity[torch.arange(len(rows)), rows] = -torch.inf  # the query itself comes last and is cut off
        order = similarity.argsort(dim=1, descending=True, stable=True)[:, :-1]
        found = (classes[order] == classes[rows, None]).float()  # (block, N - 1)
        asked = found.any(1)
        precisions.append(average_precision(found[asked], ranks))
        shares.append(torch.stack([found[asked, :k].mean(1) for k in cutoffs], 1) if cutoffs else found[asked, :0])
    result = {"map": float(torch.cat(precisions).mean())}
    return result | {f"precision@{k}": float(v) for k, v in zip(cutoffs, torch.cat(shares).mean(0), strict=True)}


def average_precision(found: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """Return the mean precision (Q,) over the ranks at which something was found, given 0 or 1 by rank, (Q, N)."""
    return (found * found.cumsum(1) / ranks).sum(1) / found.sum(1)
