"""Adam, without what comes along with torch's: its first use imports torch's compiler, 1.2 s and 155 MB of memory.

So does making any torch.optim.Optimizer: adding its parameters, clearing gradients and asking for its state do.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

BETAS = 0.9, 0.999
EPSILON = 1e-8


class Adam:
    """Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1: the numbers of torch.optim.Adam with its default options."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        """Begin at step 0, with moments of 0."""
        self.parameters, self.learning_rate, self.steps = list(parameters), learning_rate, 0
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]  # moments
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient, then forget the gradients. Parameters without one stay."""
        self.steps += 1
        step_size = self.learning_rate / (1 - BETAS[0] ** self.steps)
        correction = (1 - BETAS[1] ** self.steps) ** 0.5
        for parameter, first, second in zip(self.parameters, self.first, self.second, strict=True):
            if parameter.grad is None:
                continue
            first.lerp_(parameter.grad, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(parameter.grad, parameter.grad, value=1 - BETAS[1])
            parameter.addcdiv_(first, (second.sqrt() / correction).add_(EPSILON), value=-step_size)
            parameter.grad = None

    def state(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return all that a resumed run needs, by the names of the parameters."""
        tensors = {"steps": torch.tensor(self.steps)}
        for name, first, second in zip(names, self.first, self.second, strict=True):
            tensors |= {f"first.{name}": first, f"second.{name}": second}
        return tensors

    def load_state(self, names: Iterable[str], tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned.

        Raises:
            KeyError: a name is missing.
        """
        self.steps = int(tensors["steps"])
        for name, first, second in zip(names, self.first, self.second, strict=True):
            first.copy_(tensors[f"first.{name}"])
            second.copy_(tensors[f"second.{name}"])
