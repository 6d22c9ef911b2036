"""Two small pictures laid on one another: is one a scaled, shifted, turned or mirrored part of the other?

All shifts at some scales, plain and mirrored, are compared at once: correlation of gradients by Fourier transform. The
best one is then improved (Gauss-Newton on an affine map, as Lucas & Kanade 1981). What is compared in the end is the
correlation of gradients where both pictures are, so that brightness and contrast do not matter.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rrzoo.gallery.duplicates.gradients import differences, in_blocks, mirrored, slopes_of, spectrum
from rrzoo.gallery.duplicates.looks import SIDE, Look

COARSE = 24  # px, the longer side of the left picture where scales are tried
SCALES = tuple(1.25**n for n in range(-2, 3))  # 0.64 to 1.56: of the right picture, beside the left one
CANVAS = 64  # px: room for both, so that shifts don't wrap round
STEPS = 6  # of Gauss-Newton
POINTS = 24  # each way
BLUR = 1.6  # px, of what is improved
LEAST = 0.45  # correlation of the best shift from which on it is improved
OVERLAP = 0.3  # least share of the smaller picture's area that has to lie on the other


def align(left: Sequence[Look], right: Sequence[Look]) -> np.ndarray:
    """Say how well P pairs agree once one picture lies on the other.

    Returns:
        float32 (P, 2): correlation of gradients, -1 to 1, where it is clearly above chance, else 0; and the share of
        the smaller picture that lies on the other, 0 to 1. Both are 0 where a picture shows next to nothing.
    """
    return in_blocks(_agreement, left, right, 2)


def _agreement(one: Tensor, half: Tensor, two: Tensor, half_two: Tensor) -> Tensor:
    score, affine = _coarse(one, half, two, half_two)
    chosen = score >= LEAST
    agreement = torch.zeros(len(one), 2)
    if chosen.any():
        one, half, two, half_two, affine = (part[chosen] for part in (one, half, two, half_two, affine))
        agreement[chosen] = _compared(one, half, two, half_two, _improved(one, half, two, half_two, affine))
    return agreement


def _coarse(one: Tensor, half: Tensor, two: Tensor, half_two: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best correlation (P,) of all scales, shifts and mirrors, and its map from left to right, (P, 2, 3)."""
    best, found = torch.full((len(one),), -2.0), torch.zeros(len(one), 2, 3)
    slopes = slopes_of(one, half, COARSE)
    lefts = [(flip, spectrum(seen, CANVAS), _sums(seen)) for flip, seen in ((1.0, slopes), (-1.0, mirrored(slopes)))]
    for scale in SCALES:
        side = round(COARSE * scale)
        other = slopes_of(two, half_two, side)
        right, right_sums = spectrum(other, CANVAS).conj(), _sums(other)
        for flip, left, left_sums in lefts:
            products = torch.fft.irfft2((left * right).sum(1), (CANVAS, CANVAS))
            peak = products.flatten(1).max(1)
            down, across = peak.indices // CANVAS, peak.indices % CANVAS
            # what lies nowhere on the other has a correlation of 0, which can be the best there is
            down, across = (torch.where(at >= COARSE, at - CANVAS, at).clamp(min=1 - side) for at in (down, across))
            score = _normalised(peak.values, left_sums, right_sums, down, across, side)
            # x of the left, -1 to 1, or -x of the mirrored one, is (x + 1 - 2 * shift / COARSE) / size - 1 on the right
            size = side / COARSE
            offset = (1 - torch.stack([across, down], 1) * 2 / COARSE) / size - 1
            now = torch.zeros(len(one), 2, 3)
            now[:, 0, 0], now[:, 1, 1], now[:, :, 2] = flip / size, 1 / size, offset
            better = score > best
            best, found = torch.where(better, score, best), torch.where(better[:, None, None], now, found)
    return best, found


def _sums(slopes: Tensor) -> Tensor:
    """Return sums of energy over the rectangle from the corner to each point, (P, S + 1, S + 1)."""
    return F.pad(slopes.square().sum(1).cumsum(1).cumsum(2), (1, 0, 1, 0))


def _normalised(peak: Tensor, left: Tensor, right: Tensor, down: Tensor, across: Tensor, side: int) -> Tensor:
    """Return the correlation (P,) at the best shift: divided by both energies where the pictures overlap."""
    rows = torch.arange(len(peak))
    top, first = down.clamp(min=0), across.clamp(min=0)
    bottom, last = (down + side).clamp(max=COARSE), (across + side).clamp(max=COARSE)

    def within(sums: Tensor, y: Tensor, x: Tensor) -> Tensor:
        high, low = bottom - top + y, last - first + x
        return sums[rows, high, low] - sums[rows, y, low] - sums[rows, high, x] + sums[rows, y, x]

    both = within(left, top, first) * within(right, top - down, first - across)
    least = 0.3 * torch.minimum(left[:, -1, -1], right[:, -1, -1])  # of energy: a corner that fits is no evidence
    enough = (within(left, top, first) > least) & (within(right, top - down, first - across) > least)
    return torch.where(enough, peak / both.clamp(min=1e-6).sqrt(), -1.0)


def _grid(half: Tensor) -> Tensor:
    """Return points all over the left pictures, (P, n, n, 3): x, y and 1."""
    at = (torch.arange(POINTS) + 0.5) * 2 / POINTS - 1
    x, y = at[None, None, :] * half[:, :1, None], at[None, :, None] * half[:, 1:, None]
    return torch.stack([part.expand(-1, POINTS, POINTS) for part in (x, y, torch.ones_like(x))], 3)


def _sampled(pictures: Tensor, half: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return pictures at points (P, n, n, 2), (P, C, n, n), and where these are inside, 1 or 0, (P, 1, n, n)."""
    inside = (points.abs() <= half[:, None, None, :] - 0.5 / SIDE).all(3)[:, None].float()
    return F.grid_sample(pictures, points, padding_mode="border", align_corners=False), inside


def _blurred(pictures: Tensor, deviation: float) -> Tensor:
    reach = round(3 * deviation)
    bell = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / 2 / deviation**2)
    kernel = (bell / bell.sum()).view(1, 1, 1, -1)
    padded = F.pad(pictures, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))


def _with_slopes(pictures: Tensor) -> Tensor:
    """Return pictures and their slopes along x and y, for -1 to 1: (P, 3, S, S)."""
    padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    across = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) * SIDE / 4
    down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) * SIDE / 4
    return torch.cat([pictures, across, down], 1)


def _standardised(values: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    count = inside.sum((2, 3), keepdim=True).clamp(min=1)
    centred = (values - (values * inside).sum((2, 3), keepdim=True) / count) * inside
    deviation = (centred.square().sum((2, 3), keepdim=True) / count).sqrt().clamp(min=1)
    return centred / deviation, deviation


def _improved(one: Tensor, half: Tensor, two: Tensor, half_two: Tensor, affine: Tensor) -> Tensor:
    """Return the affine maps that make standardised, blurred pictures differ least, from those given."""
    grid, stack = _grid(half), _with_slopes(_blurred(two, BLUR))
    mine, _ = _sampled(_blurred(one, BLUR), half, grid[..., :2])
    for _ in range(STEPS):
        values, inside = _sampled(stack, half_two, grid @ affine.mT[:, None])
        other, across, down = values.chunk(3, 1)
        other, spread = _standardised(other, inside)
        missing = (_standardised(mine, inside)[0] - other).flatten(1)
        jacobian = torch.cat([slope / spread * inside * grid.movedim(3, 1) for slope in (across, down)], 1).flatten(2)
        normal = jacobian @ jacobian.mT  # (P, 6, 6)
        damping = torch.diag_embed(0.05 * normal.diagonal(dim1=1, dim2=2) + 1)
        step = torch.linalg.solve(normal + damping, jacobian @ missing[..., None])[..., 0].clamp(-0.1, 0.1)
        affine = affine + step.view(-1, 2, 3)
    return affine


def _compared(one: Tensor, half: Tensor, two: Tensor, half_two: Tensor, affine: Tensor) -> Tensor:
    """Return the correlation of gradients and the overlap: (P, 2)."""
    grid = _grid(half)
    mine, _ = _sampled(_blurred(one, 0.8), half, grid[..., :2])
    other, inside = _sampled(_blurred(two, 0.8), half_two, grid @ affine.mT[:, None])
    both = -F.max_pool2d(-inside, 3, 1)
    left, right = (differences(values) * both for values in (mine, other))
    products, lefts, rights = ((a * b).sum((1, 2, 3)) for a, b in ((left, right), (left, left), (right, right)))
    total = products / (lefts * rights + 1).sqrt()
    size = affine[:, :, :2].det().abs()  # of the left picture's area, on the right
    share = inside.mean((1, 2, 3))
    ours, theirs = half.prod(1), half_two.prod(1)
    overlap = torch.maximum(share, share * size * ours / theirs).clamp(max=1)
    enough = overlap > OVERLAP
    return torch.stack([torch.where(enough, total, 0.0), overlap], 1)
