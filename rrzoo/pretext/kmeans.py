"""k-means on rows, on whatever device they are."""

import torch
from torch import Tensor

BLOCK = 65_536  # rows at a time, fewer if clusters are many: distances take 4 bytes for each row and centre
DISTANCES = 2**24  # at a time


def cluster(rows: Tensor, clusters: int, iterations: int, seed: int) -> Tensor:
    """Return the cluster of each row, int64 (N,), 0 to k - 1: see `lloyd`."""
    return lloyd(rows, clusters, iterations, seed)[1]


def lloyd(rows: Tensor, clusters: int, iterations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the centres, and each row's cluster: Lloyd 1982 (doi 10.1109/TIT.1982.1056489), until nothing changes.

    The first centres are rows chosen by chance. A cluster that gets empty begins anew at the row that is farthest from
    its centre; of several, each at the next farthest.

    Args:
        rows: float32 (N, D).
        clusters: k, at most N.
        iterations: at most, moves of all centres.
        seed: of the first centres.

    Returns:
        centres float32 (k, D); and int64 (N,), 0 to k - 1: the centre that is nearest, of equals the first.
    """
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:clusters]
    centres = rows[chosen.to(rows.device)]
    nearest, distance = assign(rows, centres)
    for _ in range(iterations):
        centres = means(rows, nearest, distance, clusters)
        before = nearest
        nearest, distance = assign(rows, centres)
        if torch.equal(nearest, before):
            break
    return centres, nearest


def assign(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index of each row's nearest centre, int64 (N,), and the square of the distance, float32 (N,)."""
    blocks = torch.split(rows, block(len(centres)))
    squares = centres.square().sum(1)
    parts = [torch.addmm(squares, some, centres.T, alpha=-2).min(1) for some in blocks]  # without the row's own square
    least, index = (torch.cat(part) for part in zip(*parts, strict=True))
    return index, least + rows.square().sum(1)


def means(rows: Tensor, nearest: Tensor, distance: Tensor, clusters: int) -> Tensor:
    """Return the mean row of each cluster (k, D); of empty ones, a row far from its centre."""
    count, total = rows.new_zeros(clusters), rows.new_zeros(clusters, rows.shape[1])
    size = block(clusters)
    for some, index in zip(torch.split(rows, size), torch.split(nearest, size), strict=True):
        # products with 0 and 1, since adding by index is of another order in every run on a GPU
        members = torch.nn.functional.one_hot(index, clusters).to(rows.dtype)
        count += members.sum(0)
        total += members.T @ some
    centres = total / count.clamp(min=1).unsqueeze(1)
    empty = (count == 0).nonzero().squeeze(1)
    centres[empty] = rows[distance.topk(len(empty)).indices]
    return centres


def block(clusters: int) -> int:
    """Return how many rows are compared with that many centres at a time."""
    return min(BLOCK, max(1, DISTANCES // clusters))
