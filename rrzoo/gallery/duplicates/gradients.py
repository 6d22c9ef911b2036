"""Gradients of many small pictures, and their spectra: what pictures are compared by."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rrzoo.gallery.duplicates.looks import Look

BLOCK = 128  # pairs at once: more leave the cache
THREADS = 2  # that take blocks by turns, each alone: torch's own gain nothing on what is so small
ONE_AT_A_TIME = threading.Lock()  # as torch's threads are of the whole process

# of left and right pictures, float32 (P, 1, 48, 48), and half their sizes there, float32 (P, 2), x and y, at most 1
Compare = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def in_blocks(compare: Compare, left: Sequence[Look], right: Sequence[Look], numbers: int) -> np.ndarray:
    """Return what `compare` says of P pairs, float32 (P, numbers); 0 where a picture shows next to nothing."""
    found = np.zeros((len(left), numbers), np.float32)
    seen = [pair for pair, looks in enumerate(zip(left, right, strict=True)) if not any(look.flat for look in looks)]

    @torch.no_grad()
    def fill(start: int) -> None:
        block = seen[start : start + BLOCK]
        found[block] = compare(
            *(part for looks in (left, right) for part in stacked([looks[pair] for pair in block]))
        ).numpy()

    with ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(THREADS) as threads:
                list(threads.map(fill, range(0, len(seen), BLOCK)))
        finally:
            torch.set_num_threads(before)
    return found


def stacked(looks: Sequence[Look]) -> tuple[Tensor, Tensor]:
    """Return pictures as float32 (P, 1, 48, 48), and half their sizes there, float32 (P, 2)."""
    canvas, half = np.stack([look.canvas for look in looks]), np.array([look.half for look in looks], np.float32)
    return torch.from_numpy(canvas).float()[:, None], torch.from_numpy(half)


def slopes_of(pictures: Tensor, half: Tensor, side: int) -> Tensor:
    """Return gradients along x and y at `side` px, (P, 2, side, side), strong ones compressed, 0 outside."""
    small = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)
    slopes = differences(F.pad(small, (1, 1, 1, 1), mode="replicate"))
    at = (torch.arange(side) + 0.5) * 2 / side - 1
    inside = (at.abs() < half[:, :1] - 1.5 / side)[:, None, :] & (at.abs() < half[:, 1:] - 1.5 / side)[:, :, None]
    length = torch.hypot(slopes[:, 0], slopes[:, 1])
    typical = (length * inside).sum((1, 2), keepdim=True) / inside.sum((1, 2), keepdim=True).clamp(min=1)
    return slopes * (inside / (length + typical + 2))[:, None]


def mirrored(slopes: Tensor) -> Tensor:
    """Return gradients of the mirrored pictures, as those of the pictures, (P, 2, S, S)."""
    return slopes.flip(3) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)


def spectrum(slopes: Tensor, canvas: int) -> Tensor:
    """Return spectra of gradients (P, 2, S, S) on a canvas: half of each, as these are real numbers."""
    found: Tensor = torch.fft.rfft2(slopes, (canvas, canvas))
    return found


def differences(values: Tensor) -> Tensor:
    """Return central differences of (P, 1, n, n) along x and y: (P, 2, n - 2, n - 2)."""
    return torch.cat(
        [values[..., 1:-1, 2:] - values[..., 1:-1, :-2], values[..., 2:, 1:-1] - values[..., :-2, 1:-1]], 1
    )
