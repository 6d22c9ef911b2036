"""A training step of Conv4 in bfloat16: what a training loop calls in place of the backbone."""

from functools import cache

import torch
from torch import Tensor, nn

from rrzoo import backbones

LEAST_CHANNELS = 16  # of the first layer, from which on it is faster than the compiled loops


@cache
def supported() -> bool:
    """Say whether this CPU multiplies bfloat16 numbers in tiles (AMX), and numba is there for all else."""
    try:
        import llvmlite.binding
        import numba  # noqa: F401
    except ImportError:
        return False
    return bool(llvmlite.binding.get_host_cpu_features().get("amx-bf16", False))


class Bfloat16Conv4:
    """Calls a Conv4 in bfloat16 where it trains on a CPU that supports it, and directly elsewhere.

    Maps and products are rounded to bfloat16, 8 bits of mantissa; sums, statistics, features and gradients of the
    weights are float32. The running statistics move as the module's own do.
    """

    def __init__(self, module: backbones.Conv4) -> None:
        self.module = module

    def __call__(self, views: Tensor) -> Tensor:
        """Return the features, float32 (N, D), of views, float32 (N, 3, S, S)."""
        if not self._fits(views):
            return self.module(views)
        from rrzoo.kernels.bfloat16.layers import Convolve, Normalise

        maps = views.to(torch.bfloat16, memory_format=torch.channels_last)
        layers = self.module.layer1, self.module.layer2, self.module.layer3, self.module.layer4
        for layer, step in zip(layers, (2, 2, 2, 1), strict=True):
            maps = Convolve.apply(maps, layer.conv.weight)
            maps = Normalise.apply(maps, layer.bn.weight, layer.bn.bias, layer.bn, step)
        return maps.float().mean((2, 3))

    def _fits(self, views: Tensor) -> bool:
        tensors = [views, *self.module.parameters()]
        norms = [layer for layer in self.module.modules() if isinstance(layer, nn.BatchNorm2d)]
        return (
            all(norm.training and norm.momentum is not None for norm in norms)
            and torch.is_grad_enabled()
            and views.shape[-1] % 8 == 0 == views.shape[-2] % 8
            and all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
            and supported()
        )
