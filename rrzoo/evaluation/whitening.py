"""PCA whitening of features for search by cosine (Jégou & Chum 2012), attenuated (Mukundan et al. 2019, section 3).

Cosines of features that are not centred, and whose few largest directions hold most of their variance, tell pictures
apart by those directions alone. Whitening gives all directions one variance, those of little variance, which are mostly
noise, like the others; attenuated, it goes only part of the way there.
"""

import numpy as np

from rrzoo import errors

ATTENUATION = 0.25  # t: directions are divided by the t-th power of their deviation; 0 is PCA alone, 1 is whitening


def fit(features: np.ndarray, size: int, attenuation: float = ATTENUATION) -> tuple[np.ndarray, np.ndarray]:
    """Fit a projection to features; no label is needed.

    Args:
        features: float (N, F).
        size: E, how many directions are kept, those of the largest variance; N rows have N - 1 at most, and beyond
            those that vary, what is projected is 0.
        attenuation: t; at 1 the covariance of what is projected is the identity.

    Returns:
        weight float32 (E, F) and bias float32 (E,), as of an `nn.Linear`.

    Raises:
        errors.ArgumentError: all rows are alike.
    """
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(features))
    variances, directions = variances[::-1], directions[:, ::-1]  # the largest first
    known = int((variances > variances[0] * 1e-10).sum()) if variances[0] > 0 else 0
    if not known:
        raise errors.ArgumentError(f"nothing can be embedded by how pictures differ: all {len(features)} look alike")
    weight = np.zeros((size, features.shape[1]))
    weight[:known] = variances[: min(size, known), None] ** (-attenuation / 2) * directions[:, : min(size, known)].T
    return weight.astype(np.float32), (-weight @ mean).astype(np.float32)
