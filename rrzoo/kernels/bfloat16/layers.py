"""Convolution, and BatchNorm with ReLU and pooling, in bfloat16 on the CPU, as torch's autograd sees them."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rrzoo.kernels.bfloat16 import loops

SMALL_MAP = 8 * 8  # pixels up to which oneDNN's gradient of the weights is slower than one product of matrices


class Convolve(torch.autograd.Function):
    """3x3 convolution without bias, padded by one pixel: bfloat16 products, float32 gradient of the weights."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        """Convolve maps, bfloat16 (N, C, H, W), with a weight, float32 (O, C, 3, 3)."""
        rounded = weight.to(torch.bfloat16, memory_format=torch.channels_last)
        ctx.save_for_backward(maps, rounded)
        return F.conv2d(maps, rounded, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of maps, bfloat16, and weight, float32."""
        maps, weight = ctx.saved_tensors
        small = maps.shape[2] * maps.shape[3] <= SMALL_MAP
        wanted = [ctx.needs_input_grad[0], not small, False]
        of_maps, of_weight, _ = torch.ops.aten.convolution_backward(
            grads, maps, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        )
        if small:
            rows = grads.permute(0, 2, 3, 1).flatten(0, 2)  # (N * H * W, O)
            of_weight = (rows.T @ windows(maps)).view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        return of_maps, of_weight.float()


def windows(maps: Tensor) -> Tensor:
    """Return the 3x3 surroundings of every pixel of channels-last maps (N, C, H, W), as (N * H * W, 9 * C)."""
    count, channels, height, width = maps.shape
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, row, pixel, number = padded.stride()
    shape, strides = (count, height, width, 3, 3, channels), (image, row, pixel, row, pixel, number)
    return padded.as_strided(shape, strides).reshape(count * height * width, 9 * channels)


class Normalise(torch.autograd.Function):
    """BatchNorm by the batch's own statistics, ReLU, and average pooling over `step` x `step` pixels, step 1 or 2.

    Gradients by Ioffe & Szegedy 2015 (arXiv 1502.03167, section 3), gathered into one number a channel for each of
    what comes through the ReLU, the maps and a constant.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d, step: int) -> Tensor:
        """Map bfloat16 (N, C, H, W), H and W multiples of `step`, to (N, C, H / step, W / step).

        The running statistics of `norm` move, as in torch.
        """
        count, channels, height, width = maps.shape
        rows = count * height * width
        sums = np.empty((loops.PARTS, 2, channels), np.float32)
        loops.moments(_bits(maps), sums)
        mean, squares = sums.sum(0, dtype=np.float64) / rows
        variance = np.maximum(squares - mean**2, 0.0)
        _track(norm, mean, variance * rows / (rows - 1))
        slope = weight.detach().double().numpy() / np.sqrt(variance + norm.eps)
        scale, shift = slope.astype(np.float32), (bias.detach().double().numpy() - slope * mean).astype(np.float32)
        out = _empty(count, channels, height // step, width // step)
        (loops.normalised if step == 1 else loops.normalised_and_halved)(_bits(maps), scale, shift, _bits(out))
        ctx.save_for_backward(maps)
        ctx.step, ctx.constants = step, (scale, shift, mean, 1 / np.sqrt(variance + norm.eps), slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of maps, bfloat16, and of weight and bias, float32 (C,)."""
        (maps,) = ctx.saved_tensors
        scale, shift, mean, inverse, slope = ctx.constants
        rows = maps.numel() // maps.shape[1]
        given = _bits(grads.to(torch.bfloat16, memory_format=torch.channels_last))
        sums = np.empty((loops.PARTS, 2, maps.shape[1]), np.float32)
        loops.grad_sums(_bits(maps), given, scale, shift, ctx.step, sums)
        of_bias, products = sums.sum(0, dtype=np.float64)
        of_weight = (products - mean * of_bias) * inverse
        own = -slope * inverse * of_weight / rows
        factors = [part.astype(np.float32) for part in (slope, own, -slope * of_bias / rows - own * mean)]
        out = _empty(*maps.shape)
        loops.input_grads(_bits(maps), given, scale, shift, ctx.step, *factors, _bits(out))
        return out, torch.from_numpy(of_weight).float(), torch.from_numpy(of_bias).float(), None, None


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, memory_format=torch.channels_last)


def _bits(maps: Tensor) -> np.ndarray:
    """Return channels-last maps (N, C, H, W) as uint16 (N, H, W, C), the same memory."""
    bits: np.ndarray = maps.detach().permute(0, 2, 3, 1).view(torch.int16).numpy().view(np.uint16)
    return bits


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, mean: np.ndarray, variance: np.ndarray) -> None:
    """Move the running statistics by a batch's mean and unbiased variance, (C,)."""
    for running, batch in ((norm.running_mean, mean), (norm.running_var, variance)):
        running.lerp_(torch.from_numpy(batch).to(running), norm.momentum)
    norm.num_batches_tracked.add_(1)
