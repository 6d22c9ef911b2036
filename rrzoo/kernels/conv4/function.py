"""Conv4's training step on the CPU, several times as fast as torch's: the same numbers, compiled by numba.

`fast(backbone)` is all that a training loop needs. Where the compiled loops do not fit, the module itself runs: other
backbones, evaluation, sizes that are no multiple of 16, other devices and types, a CPU without AVX2, no numba.
"""

import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rrzoo import backbones
from rrzoo.kernels import bfloat16
from rrzoo.kernels.compiled import Compiled
from rrzoo.kernels.conv4 import workspace
from rrzoo.kernels.conv4.workspace import LANES, Loops, Workspace


def fast(backbone: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what maps views to features like `backbone` itself, as fast as this machine can.

    Conv4 has loops of its own, and goes through bfloat16 where it is wide and the CPU made for that; other backbones go
    through torch.compile.
    """
    if type(backbone) is not backbones.Conv4:
        return Compiled(backbone)
    if backbone.channels[1] >= bfloat16.LEAST_CHANNELS and bfloat16.supported():
        return bfloat16.Bfloat16Conv4(backbone)
    return FastConv4(backbone)


class FastConv4:
    """Calls a Conv4 through the compiled loops where they fit, and directly where they do not.

    Both ways give the same features, gradients and running statistics up to rounding. The loops give the same bits for
    any number of threads. They do not run hooks of the module's layers. Their memory is kept for the next call.
    """

    def __init__(self, module: backbones.Conv4) -> None:
        self.module = module
        self.free: list[Workspace] = []  # at most one: the system clears fresh memory, which takes time

    def __call__(self, views: Tensor) -> Tensor:
        """Return the features (N, D) of views (N, 3, S, S) or (N / 16, S + 2, S + 2, 3, 16), see `block`.

        The views must not change before the backward pass.
        """
        blocked = views.ndim == 5
        if not self._fits(views, blocked):
            return self.module(unblock(views) if blocked else views)
        return _Conv4.apply(views if blocked else block(views), self, *self.module.parameters())

    def wants_blocks(self, count: int, size: int) -> bool:
        """Say whether `count` views of `size` px should come blocked: that saves a copy."""
        return count >= LANES and count % LANES == 0 and size >= 16 and size % 16 == 0 and loops() is not None

    def take(self, blocks: int, size: int) -> Workspace:
        """Return a workspace that no other pass uses."""
        space = self.free.pop() if self.free else None
        if space is None or (space.blocks, space.size) != (blocks, size):
            compiled = loops()
            assert compiled is not None
            space = Workspace(compiled, self.module.channels, blocks, size)
        return space

    def _fits(self, views: Tensor, blocked: bool) -> bool:
        count, size = (len(views) * LANES, views.shape[1] - 2) if blocked else (len(views), views.shape[-1])
        shape = (count // LANES, size + 2, size + 2, 3, LANES) if blocked else (count, 3, size, size)
        parameters = list(self.module.parameters())
        norms = [layer for layer in self.module.modules() if isinstance(layer, nn.BatchNorm2d)]
        return (
            views.shape == shape
            and (views.is_contiguous() or not blocked)
            and all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in [views, *parameters])
            and all(norm.training and norm.momentum is not None for norm in norms)
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not views.requires_grad
            and all(parameter.requires_grad for parameter in parameters)
            and self.wants_blocks(count, size)
        )


def new_blocks(count: int, size: int) -> Tensor:
    """Return memory for `count` blocked views of `size` px, see `block`: float32, zeros."""
    return torch.from_numpy(workspace.new(count // LANES, size + 2, size + 2, 3, LANES))


def block(views: Tensor, out: Tensor | None = None) -> Tensor:
    """Return views (N, 3, S, S) as (N / 16, S + 2, S + 2, 3, 16): lanes last, with a border of zeros. CPU, float32.

    `out` is written inside its border and returned, if given.
    """
    blocked = new_blocks(len(views), views.shape[-1]) if out is None else out
    compiled = loops()
    if compiled is None:
        blocked[:, 1:-1, 1:-1] = views.unflatten(0, (-1, LANES)).permute(0, 3, 4, 2, 1)
    else:
        compiled.forward.block_views(views.contiguous().numpy(), blocked.numpy())
    return blocked


def unblock(blocked: Tensor) -> Tensor:
    """Return blocked views as (N, 3, S, S)."""
    return blocked[:, 1:-1, 1:-1].permute(0, 4, 3, 1, 2).flatten(0, 1)


@cache
def loops() -> Loops | None:
    """Return the compiled loops, or None with one warning if they do not work here.

    The first call compiles them, which takes up to a minute, and has the other kernels compiled meanwhile, see
    `precompile`; later processes find all on disk.
    """
    try:
        from rrzoo.kernels import precompile
        from rrzoo.kernels.conv4 import backward, first_layer, forward, tiles, weights

        compiled = Loops(first_layer, forward, backward, weights, tiles)
        with precompile.second_process():
            inputs = workspace.new(1, 18, 18, 3, LANES)
            compiled.forward.block_views(workspace.new(LANES, 3, 16, 16), inputs)
            channels = 3, 8, 16, 16, 16  # other numbers take the same code
            kernels = [workspace.new(outputs, inputs, 3, 3) for inputs, outputs in pairwise(channels)]
            norms = [workspace.new(outputs) for outputs in channels[1:]]
            space = Workspace(compiled, channels, 1, 16)
            space.forward(inputs, kernels, norms, norms, [1.0] * 4)
            space.backward(workspace.new(LANES, channels[-1]), kernels)
    except Exception as error:  # numba and LLVM have many ways to fail, and training needs neither
        reason = str(error).partition("\n")[0]
        warnings.warn(f"Conv4 trains several times slower without its compiled loops: {reason}", stacklevel=2)
        return None
    return compiled


class _Conv4(torch.autograd.Function):
    """The compiled loops as torch sees them."""

    @staticmethod
    def forward(ctx: Any, views: Tensor, owner: FastConv4, *parameters: Tensor) -> Tensor:
        """Return the features, and move the running statistics.

        Parameters are, layer by layer, the convolution's weight and the norm's weight and bias.
        """
        space = owner.take(len(views), views.shape[1] - 2)
        arrays = [parameter.detach().numpy() for parameter in parameters]
        norms: list[Any] = [layer for layer in owner.module.modules() if isinstance(layer, nn.BatchNorm2d)]
        features = space.forward(views.numpy(), arrays[::3], arrays[1::3], arrays[2::3], [norm.eps for norm in norms])
        for layer, norm in enumerate(norms):
            unbiased = space.variances[layer] * (space.values(layer) / (space.values(layer) - 1))
            for running, batch in ((norm.running_mean, space.means[layer]), (norm.running_var, unbiased)):
                running.lerp_(torch.from_numpy(batch.astype(np.float32)), norm.momentum)
            norm.num_batches_tracked += 1
        ctx.save_for_backward(views, *parameters)  # torch then notices if any of them changes
        ctx.owner, ctx.space = owner, space
        return torch.from_numpy(features)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> tuple[Any, ...]:
        """Return the parameters' gradients, and the workspace to its owner."""
        _, *parameters = ctx.saved_tensors
        space, ctx.space = ctx.space, None
        if space is None:
            raise RuntimeError(
                "the compiled loops of Conv4 keep what they need for one backward pass: run forward again"
            )
        weights = [weight.detach().numpy() for weight in parameters[::3]]
        gradients = space.backward(grads.contiguous().numpy(), weights)
        ctx.owner.free = [space]
        return None, None, *map(torch.from_numpy, gradients)
