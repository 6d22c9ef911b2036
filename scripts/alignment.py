"""Two images of one photograph laid on one another: scale and shift, and how well they then agree.

Points are (x, y) of -1 to 1, as in `F.grid_sample`. A point x of the left image is scale * x + shift on the right.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 10  # of Gauss-Newton
COARSE, FINE = (24, 2.2), (40, 1.2)  # where two images are aligned, and compared: points each way, blur in px of 96
OVERLAP = 0.4  # share of the left image that has to be on the right one, too


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Blur float32 (P, 3, S, S) by a Gaussian of `deviation` px at 96 px."""
    deviation *= images.shape[3] / 96
    reach = round(3 * deviation)
    bell = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / 2 / deviation**2)
    kernel = (bell / bell.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), groups=images.shape[1])


def grid(box: Tensor, points: int) -> Tensor:
    """Return points of boxes (P, 2, 2), equally far from one another: float32 (P, 2, points), x and y."""
    share = (torch.arange(points) + 0.5) / points
    return box[:, 0, :, None] + (box[:, 1] - box[:, 0])[..., None] * share


def sampled(images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return images (P, C, S, S) at points (P, 2, n), float32 (P, C, n, n), and 1 where these are inside, else 0."""
    at = torch.stack(torch.broadcast_tensors(points[:, 0, None, :], points[:, 1, :, None]), 3)
    inside = (at.abs() <= 1).all(3)[:, None].float()
    return F.grid_sample(images, at, padding_mode="border", align_corners=False), inside


def standardised(images: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Give images mean 0 in each channel and deviation 1 where `inside`; return them, and what the deviation was."""
    count = inside.sum((2, 3), keepdim=True).clamp(min=1)
    centred = (images - (images * inside).sum((2, 3), keepdim=True) / count) * inside
    deviation = (centred.square().sum((2, 3), keepdim=True) / count).mean(1, keepdim=True).sqrt().clamp(min=1)
    return centred / deviation, deviation


def fit(left: Tensor, right: Tensor, box: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale (P,) and shift (P, 2) that make blurred images (P, 3, S, S) differ least, from those given."""
    points = grid(box, COARSE[0])
    one, _ = sampled(left, points)
    slopes = [(right.roll(-1, axis) - right.roll(1, axis)) * right.shape[3] / 4 for axis in (3, 2)]
    stack = torch.cat([right, *slopes], 1)
    for _ in range(STEPS):
        values, inside = sampled(stack, scale[:, None, None] * points + shift[..., None])
        other, across, down = values.chunk(3, 1)
        other, deviation = standardised(other, inside)
        missing = (standardised(one, inside)[0] - other).flatten(1)
        across, down = across / deviation * inside, down / deviation * inside
        larger = across * points[:, 0, None, None, :] + down * points[:, 1, None, :, None]
        jacobian = torch.stack([slope.flatten(1) for slope in (larger, across, down)], 2)
        normal = jacobian.mT @ jacobian
        damping = torch.diag_embed(0.05 * normal.diagonal(dim1=1, dim2=2) + 1)
        step = torch.linalg.solve(normal + damping, jacobian.mT @ missing[..., None])[..., 0].clamp(-0.1, 0.1)
        scale, shift = (scale + step[:, 0]).clamp(0.3, 3.0), shift + step[:, 1:]
    return scale, shift


def agreement(left: Tensor, right: Tensor, box: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return the correlation of both images' gradients, float32 (P,), 0 where they have too little in common."""
    points = grid(box, FINE[0])
    one, _ = sampled(left, points)
    other, inside = sampled(right, scale[:, None, None] * points + shift[..., None])
    both = -F.max_pool2d(-inside, 3, 1)  # where all four neighbours are inside
    one, other = (gradients(image) * both for image in (one, other))
    norms = one.square().sum((1, 2, 3)) * other.square().sum((1, 2, 3))
    correlation = (one * other).sum((1, 2, 3)) / norms.sqrt().clamp(min=1)
    return torch.where(inside.mean((1, 2, 3)) >= OVERLAP, correlation, 0.0)


def gradients(images: Tensor) -> Tensor:
    """Return central differences along x and y, (P, 2 C, n - 2, n - 2)."""
    across, down = images[..., 1:-1, :], images[..., 1:-1]
    return torch.cat([across[..., 2:] - across[..., :-2], down[..., 2:, :] - down[..., :-2, :]], 1)
