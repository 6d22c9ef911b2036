"""PCA whitening of features for search by cosine (Jégou & Chum 2012, section 4), with shrinkage.

Cosines of features that are not centred, and whose few largest directions hold most of their variance, tell pictures
apart by those directions alone. Centred and scaled to equal variance, all count. Directions of little variance are
mostly noise: a share of the mean eigenvalue is added to all of them first (Ledoit & Wolf 2004, up to a factor that
cosines do not see).
"""

import numpy as np

from rrzoo import errors

SHRINKAGE = 0.1


def fit(features: np.ndarray, size: int, shrinkage: float = SHRINKAGE) -> tuple[np.ndarray, np.ndarray]:
    """Fit a projection to features; no label is needed.

    Args:
        features: float (N, F).
        size: E, how many directions are kept, those of the largest variance.
        shrinkage: share of the mean eigenvalue that is added to each; at 0 the covariance of what is projected is the
            identity.

    Returns:
        weight float32 (E, F) and bias float32 (E,), as of an `nn.Linear`.

    Raises:
        errors.ArgumentError: there are not E directions of any variance, as of too few rows.
    """
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(features))  # ascending
    values, vectors = values[::-1], vectors[:, ::-1]
    known = int((values > values[0] * 1e-10).sum()) if values[0] > 0 else 0
    if size > known:
        raise errors.ArgumentError(
            f"embedding_size is {size}: {len(features)} rows of {features.shape[1]} features vary in {known} directions"
        )
    scale = (values[:size] + shrinkage * values.mean()) ** -0.5
    weight = scale[:, None] * vectors[:, :size].T
    return weight.astype(np.float32), (-weight @ mean).astype(np.float32)
