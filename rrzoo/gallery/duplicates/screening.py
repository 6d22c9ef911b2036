"""Which pictures could show the same, at a glance: before they are laid on one another at 48 px."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rrzoo.gallery.duplicates.gradients import in_blocks, mirrored, slopes_of, spectrum, stacked
from rrzoo.gallery.duplicates.looks import Look

GLANCE = 8  # px of a picture as it is,
SIDE = 12  # px of the left one where one may be a part of the other: its longer side
SCALES = (0.7, 1.0, 1.4)  # of the right picture, beside the left one
CANVAS = 32  # px: room for both, so that shifts don't wrap round


@torch.no_grad()
def glances(looks: Sequence[Look]) -> Tensor:
    """Return gradients at 8 px as unit vectors, float32 (N, 128); 0 where a picture shows next to nothing.

    Copies that are not moved against one another, such as grey, blurred or captioned ones, have nearly the same.
    """
    slopes = slopes_of(*stacked(looks), GLANCE).flatten(1)
    return F.normalize(slopes * torch.tensor([not look.flat for look in looks])[:, None])


def resemblance(left: Sequence[Look], right: Sequence[Look]) -> np.ndarray:
    """Return the best correlation of P pairs' gradients, over shifts and scales, plain and mirrored: float32 (P,).

    It is that of the whole pictures, 0 outside: what lies on less of the other has less. It is 0 where a picture shows
    next to nothing.
    """
    return in_blocks(_best, left, right, 1)[:, 0]


def _best(one: Tensor, half: Tensor, two: Tensor, half_two: Tensor) -> Tensor:
    slopes = slopes_of(one, half, SIDE)
    lefts = torch.stack([spectrum(seen, CANVAS) for seen in (slopes, mirrored(slopes))], 1)
    energy, found = slopes.square().sum((1, 2, 3)), []
    for scale in SCALES:
        other = slopes_of(two, half_two, round(SIDE * scale))
        products = torch.fft.irfft2((lefts * spectrum(other, CANVAS).conj()[:, None]).sum(2), (CANVAS, CANVAS))
        both = energy * other.square().sum((1, 2, 3))
        found.append(products.flatten(1).amax(1) / both.clamp(min=1e-6).sqrt())
    return torch.stack(found, 1).amax(1, keepdim=True)
