"""Square windows of many images at once, without the dark borders that some have.

Points are (x, y) of -1 to 1, as in `F.grid_sample`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2_000  # images at a time
CELLS = 10  # each way, that a window is averaged over
WHOLE = (1.0, (0.5, 0.5))  # share of the side, and place, of a window
DARK = 24  # of 255: a border no brighter than that is not the photograph's


def pixels(images: np.ndarray) -> Tensor:
    """Return uint8 (N, H, W, 3) as float32 (N, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()


def boxes(images: np.ndarray) -> Tensor:
    """Return where images without dark borders begin and end: float32 (N, 2, 2), first and last (x, y), -1 to 1."""
    bright = images.max(3) > DARK
    ends = []
    for axis in (1, 2):  # what is left along x, then along y
        lit = bright.mean(axis) > 0.03
        first, last, side = lit.argmax(1), lit.shape[1] - lit[:, ::-1].argmax(1), lit.shape[1]
        whole = last - first < side / 4  # a dark photograph
        first = np.where(whole | (first == 0), 0, first + 2)  # the border's edge is blurred
        last = np.where(whole | (last == side), side, last - 2)
        ends.append(np.stack([first, last], 1) * 2 / side - 1)
    return torch.from_numpy(np.stack(ends, 2)).float()


def turned(boxes: Tensor) -> Tensor:
    """Return the boxes of mirrored images."""
    return torch.stack([-boxes[..., 0].flip(1), boxes[..., 1]], 2)


def windows(boxes: Tensor, share: float, place: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return squares of a `share` of the shorter side: centres float32 (N, 2), and half their sides (N,)."""
    size = boxes[:, 1] - boxes[:, 0]
    side = share * size.min(1).values
    return boxes[:, 0] + side[:, None] / 2 + (size - side[:, None]) * torch.tensor(place), side / 2


def cut(images: Tensor, centre: Tensor, half: Tensor) -> Tensor:
    """Return windows averaged over cells, without their mean colour: float32 (N, 3 * CELLS**2)."""
    steps = (torch.arange(2 * CELLS) + 0.5) / CELLS - 1
    rows = []
    for some, c, h in zip(images.split(BLOCK), centre.split(BLOCK), half.split(BLOCK), strict=True):
        x, y = (c[:, i : i + 1] + h[:, None] * steps for i in (0, 1))
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), 3)
        cells = F.avg_pool2d(F.grid_sample(some.float(), grid, padding_mode="border", align_corners=False), 2)
        rows.append((cells - cells.mean((2, 3), keepdim=True)).flatten(1))
    return torch.cat(rows)
