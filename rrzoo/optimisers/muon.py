"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): momentum whose matrices are made orthogonal.

A gradient's few large singular values hide the small ones. Muon steps equally far along all of them, which takes a
Conv4 in a given number of steps much further than Adam does.

Its weights stand before BatchNorm, which takes their scale away; only a step's length relative to the weights counts.
So the learning rate is relative, too, as in LARS (You et al. 2017, arXiv 1708.03888). And every step is followed by one
back to the norm before it: else the norm grows by a share of itself each time, 1e13 times in ten epochs, since nothing
pulls it back. As the whole matrix is rescaled, what BatchNorm passes on stays the same, but for its epsilon.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rrzoo.optimisers.adam import Adam

MOMENTUM = 0.95
ITERATIONS = 5  # of `orthogonal`
ADAM_SHARE = 0.15  # of the learning rate
TINY = 1e-12  # in place of a norm of 0
POLYNOMIAL = 3.4445, -4.7750, 2.0315  # the reference's: large at 0, so that small singular values grow fast


class Muon:
    """Muon for what multiplies features, convolutions as matrices (outputs, inputs x taps); Adam for everything else.

    In a step, a matrix (R, C) moves by `learning_rate` times its own norm, but for rounding of `orthogonal`, and is
    rescaled to that norm; of vectors and of matrices of one row, Adam's learning rate is `ADAM_SHARE` of that.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        """Begin at step 0, with moments of 0."""
        self.learning_rate = learning_rate
        self.parameters = list(parameters)
        self.moments = [torch.zeros_like(parameter) for parameter in self.parameters if is_matrix(parameter)]
        self.adam = Adam([parameter for parameter in self.parameters if not is_matrix(parameter)], learning_rate)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient, then forget the gradients. Parameters without one stay.

        Torch's number of threads decides the last bits of products of large matrices.
        """
        self.adam.learning_rate = ADAM_SHARE * self.learning_rate
        self.adam.step()
        for matrix, moment in zip(filter(is_matrix, self.parameters), self.moments, strict=True):
            if matrix.grad is None:
                continue
            moment.lerp_(matrix.grad, 1 - MOMENTUM)
            direction = orthogonal(matrix.grad.lerp(moment, MOMENTUM).flatten(1))  # Nesterov's
            norm = matrix.norm()
            length = norm / min(direction.shape) ** 0.5  # of an orthogonal matrix, the root is the norm
            matrix.sub_(direction.view_as(matrix) * (self.learning_rate * length))
            matrix.mul_(norm / matrix.norm().clamp(min=TINY))
            matrix.grad = None

    def state(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return all that a resumed run needs, by the names of the parameters."""
        matrices, others = self._split(names)
        moments = {f"moment.{name}": moment for name, moment in zip(matrices, self.moments, strict=True)}
        return moments | self.adam.state(others)

    def load_state(self, names: Iterable[str], tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned.

        Raises:
            KeyError: a name is missing.
        """
        matrices, others = self._split(names)
        self.adam.load_state(others, tensors)
        for name, moment in zip(matrices, self.moments, strict=True):
            moment.copy_(tensors[f"moment.{name}"])

    def _split(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the names of matrices, and those of all other parameters."""
        named = list(zip(names, self.parameters, strict=True))
        return [name for name, p in named if is_matrix(p)], [name for name, p in named if not is_matrix(p)]


def is_matrix(parameter: Tensor) -> bool:
    """Say whether a parameter has rows and columns; a matrix of one row is a vector."""
    return parameter.ndim > 1 and len(parameter) > 1


def orthogonal(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix (R, C) close to 1: 0.7 to 1.2, if none was below 0.2% of the norm.

    An odd polynomial of the matrix, applied over and over, is one of its singular values: no decomposition is needed.
    """
    a, b, c = POLYNOMIAL
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=TINY)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
