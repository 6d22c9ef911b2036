"""Does a picture look like anything that a probe knows, or is every answer a guess? Two scores, and a bound on each."""

import numpy as np
import torch
from torch import Tensor, nn


class Recogniser(nn.Module):
    """Refuses pictures that are far from all training images, and those in which the probe sees none of its classes.

    The distance is Mahalanobis', from the mean of the training images (Lee et al. 2018, arXiv 1807.03888, with one
    class in place of many), divided by its bound: above 1 a picture is refused. The energy is log sum exp of the
    probe's logits (Liu et al. 2020, arXiv 2010.03759, its negative): below `least_energy` a picture is refused. The
    first catches flat colours and blur, of which probes are often sure; the second, photographs of other things.

    Args:
        feature_size: D.
    """

    least_energy: Tensor

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.whitening = nn.Linear(feature_size, feature_size)  # divided by the bound on the distance
        self.register_buffer("least_energy", torch.zeros(()))

    def scores(self, features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance and energy, float (N,) each.

        Args:
            features: means over the whole feature map, float (N, D).
            logits: of the probe, float (N, C).
        """
        return self.whitening(features).float().norm(dim=1), logits.float().logsumexp(1)

    def refuses(self, distance: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Say which pictures are beyond a bound, bool (N,), given what `scores` returned as arrays."""
        refused: np.ndarray = (distance > 1) | (energy < float(self.least_energy))
        return refused
