"""BatchNorm folded into the convolution before it, for inference: the same function with fewer passes over memory.

In eval mode y = s (W x + b - m) + t with s = gamma / sqrt(v + eps), which is a convolution with weights s W and offset
s (b - m) + t (Jacob et al. 2018, arXiv 1712.05877, section 3.2).
"""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(net: nn.Module) -> nn.Module | None:
    """Return a copy of a network in which convolutions hold the BatchNorm that follows them, or None if none does.

    Which one follows is taken from the order in which modules were registered, which need not be that of computing: so
    compare the outputs of both before the copy is used.
    """
    pairs = [
        (convolution_name, norm_name)
        for (convolution_name, one), (norm_name, other) in pairwise(_leaves(net))
        if isinstance(one, nn.Conv2d) and isinstance(other, nn.BatchNorm2d) and one.out_channels == other.num_features
    ]
    if not pairs:
        return None
    copied = copy.deepcopy(net)
    for convolution_name, norm_name in pairs:
        convolution, norm = copied.get_submodule(convolution_name), copied.get_submodule(norm_name)
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        copied.set_submodule(convolution_name, fuse_conv_bn_eval(convolution, norm))
        activation = [part for name in ("drop", "act") if isinstance(part := getattr(norm, name, None), nn.Module)]
        copied.set_submodule(norm_name, nn.Sequential(*activation))  # those of timm's BatchNormAct2d
    return copied


def versions(net: nn.Module) -> tuple[tuple[int, int], ...]:
    """Return what changes whenever a tensor of a network does."""
    return tuple((tensor.data_ptr(), tensor._version) for tensor in (*net.parameters(), *net.buffers()))


@torch.no_grad()
def agree(one: nn.Module, other: nn.Module, picture: Tensor) -> bool:
    """Say whether two networks compute the same of a picture up to rounding."""
    expected = one(picture)
    scale = expected.abs().max().clamp(min=1e-6)
    return bool((other(picture) - expected).abs().max() <= 1e-3 * scale)


def _leaves(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return convolutions, norms and other layers by name in the order of registration, without those inside norms."""
    found: list[tuple[str, nn.Module]] = []
    for name, module in net.named_modules():
        inside_norm = found and isinstance(found[-1][1], nn.BatchNorm2d) and name.startswith(f"{found[-1][0]}.")
        if not inside_norm and (isinstance(module, nn.BatchNorm2d) or not any(True for _ in module.children())):
            found.append((name, module))
    return found
