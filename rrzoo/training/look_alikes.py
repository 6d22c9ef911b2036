"""Batches of look-alikes: pictures with their nearest neighbours, so that the paper's rolled negatives are hard."""

import numpy as np
import torch
from torch import Tensor, nn

FAMILY = 8  # a picture and its nearest neighbours


def nearest(features: Tensor, count: int) -> np.ndarray:
    """Return for each row (N, D) the numbers of its `count` nearest by cosine similarity, itself among them."""
    unit = nn.functional.normalize(features, dim=1)
    blocks = [(part @ unit.T).topk(min(count, len(unit)), dim=1).indices for part in torch.split(unit, 1024)]
    found: np.ndarray = torch.cat(blocks).cpu().numpy()
    return found


def families(neighbours: np.ndarray, batch_size: int, random: np.random.Generator) -> list[np.ndarray]:
    """Return an epoch of batches of at most `batch_size` pictures: some, drawn at random, each with its neighbours.

    As many batches as random ones of that size would be; every picture is drawn at most once, but may be the neighbour
    of many.
    """
    count, family = neighbours.shape
    seeds = max(1, batch_size // family)
    drawn = random.permutation(count)
    batches = []
    for number in range(max(1, count // batch_size)):
        chosen = drawn[number * seeds : (number + 1) * seeds]
        batches.append(random.permutation(np.unique(neighbours[chosen])))
    return [batch for batch in batches if len(batch) > 1]
