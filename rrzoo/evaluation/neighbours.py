"""What features are worth to a vote of nearest neighbours."""

import numpy as np
import torch
import torch.nn.functional as F

NEIGHBOURS = 20
TEMPERATURE = 0.07  # of the votes (Wu et al. 2018, arXiv 1805.01978)
BLOCK = 1024  # rows at a time: a whole matrix of similarities would not fit


def knn_accuracy(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    neighbours: int = NEIGHBOURS,
) -> float:
    """Return the share of test rows that their nearest training rows vote right, 0 to 1.

    Cosine similarity s, votes weighted by exp(s / 0.07), as Wu et al. 2018 (arXiv 1805.01978, section 3.4).
    """
    train = F.normalize(torch.from_numpy(train_features).float())
    test = F.normalize(torch.from_numpy(test_features).float())
    labels = torch.from_numpy(train_labels)
    classes = int(train_labels.max()) + 1
    neighbours = min(neighbours, len(train))
    right = 0
    for start in range(0, len(test), BLOCK):
        similarity, index = (test[start : start + BLOCK] @ train.T).topk(neighbours)  # (block, neighbours)
        votes = torch.zeros(len(index), classes).scatter_add_(1, labels[index], ((similarity - 1) / TEMPERATURE).exp())
        right += int((votes.argmax(1).numpy() == test_labels[start : start + BLOCK]).sum())
    return right / len(test)
