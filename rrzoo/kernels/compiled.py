"""Training steps of backbones without loops of their own, on the CPU: channels last, compiled by torch.compile.

The layout alone is worth more than the compiler (which fuses BatchNorm, ReLU and sums), and needs none.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rrzoo import errors


class Compiled:
    """Calls a backbone through torch.compile where it works, and directly where it does not.

    Both ways give the same features, gradients and running statistics up to rounding; weights stay in `module`. The
    first training batch is compiled for, which takes up to a minute; other shapes, evaluation and other devices run
    the module itself. So does everything, with one warning, where compiling fails: without a C++ compiler, say.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.function: Callable[[Tensor], Tensor] | None = None
        self.shape: torch.Size | None = None  # of the views that `function` is for, or was to be

    def __call__(self, views: Tensor) -> Tensor:
        """Return the features (N, D) of views (N, 3, S, S)."""
        if views.device.type != "cpu":
            return self.module(views)
        views = views.contiguous(memory_format=torch.channels_last)
        if not (self.module.training and torch.is_grad_enabled()):
            return self.module(views)
        if self.shape is None:
            self.shape, self.function = views.shape, self._compile(views)
        if self.function is None or views.shape != self.shape:
            return self.module(views)
        return self.function(views)

    def _compile(self, views: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Return the compiled module once both passes have run, or None with one warning if they don't."""
        buffers = [(buffer, buffer.clone()) for buffer in self.module.buffers()]  # the running statistics move
        try:
            function: Callable[[Tensor], Tensor] = torch.compile(self.module, dynamic=False)
            parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
            torch.autograd.grad(function(views).sum(), parameters)
        except Exception as error:  # compilers have many ways to fail, and training needs none
            reason = errors.first_line(error)
            warnings.warn(f"the backbone trains somewhat slower, since torch.compile fails: {reason}", stacklevel=4)
            return None
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        return function
