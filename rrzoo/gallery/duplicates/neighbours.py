"""Which pairs of many pictures are worth a closer look: each one's nearest, by unit vectors, without comparing all."""

import torch
from torch import Tensor

EXACT = 20_000  # rows up to which all are compared
PER_CELL = 200  # rows of a cell, about
CELLS = 32  # nearest cells in which a row looks for its nearest
ROUNDS = 4  # of k-means
BLOCK = 1_000  # rows at a time


@torch.no_grad()
def nearest(unit: Tensor, k: int) -> Tensor:
    """Return for each row, float32 (N, D) of unit length, the k nearest others by cosine similarity: int64 (N, k).

    Of more than 20,000 rows, those in the 32 nearest of N / 200 cells are compared (k-means, as an inverted file;
    Jegou, Douze & Schmid 2011): near-copies lie near one another, and are found. Where fewer than k others are there,
    -1 fills up.
    """
    if len(unit) <= EXACT:
        every = torch.arange(len(unit))
        return torch.cat([_best(unit, int(rows[0]), len(rows), every, k) for rows in torch.split(every, BLOCK)])
    centres, cell = _cells(unit)
    order = cell.argsort(stable=True)
    members = torch.split(order, cell.bincount(minlength=len(centres)).tolist())
    near = (centres @ centres.T).topk(min(CELLS, len(centres)), dim=1).indices.tolist()
    found = torch.full((len(unit), k), -1)
    for number, rows in enumerate(members):
        among = torch.cat([rows, *(members[other] for other in near[number] if other != number)])
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            found[some] = _best(unit, start, len(some), among, k)
    return found


def _best(unit: Tensor, start: int, count: int, among: Tensor, k: int) -> Tensor:
    """Return the k nearest of M = `count` rows among some (L,), from place `start` on: int64 (M, k), -1 where none."""
    others = unit[among]
    scores = others[start : start + count] @ others.T
    scores[:, start:].fill_diagonal_(-2.0)  # no row is its own neighbour
    best = scores.topk(min(k, len(among)), dim=1)
    found = torch.where(best.values > -2, among[best.indices], -1)
    return torch.nn.functional.pad(found, (0, k - found.shape[1]), value=-1)


def _cells(unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return centres of cells, float32 (C, D), and the cell of each row, int64 (N,)."""
    count = max(1, len(unit) // PER_CELL)
    drawn = torch.randperm(len(unit), generator=torch.Generator().manual_seed(0))[:count]
    centres = unit[drawn]
    cell = torch.cat([(rows @ centres.T).argmax(1) for rows in torch.split(unit, BLOCK)])
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, cell, unit)
        centres = torch.nn.functional.normalize(torch.where(sums.any(1, keepdim=True), sums, centres))
        cell = torch.cat([(rows @ centres.T).argmax(1) for rows in torch.split(unit, BLOCK)])
    return centres, cell
