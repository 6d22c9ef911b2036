"""The relation head on CPU without storing a pair: scores of all pairs, exact batch statistics, gradients.

The hidden activation of a pair is z = u + v, where u and v are rows that the K * M views share. So:

- Mean and variance over all pairs come from rows: sum (u + v)^2 = sum u^2 + sum v^2 + 2 sum u v, and the partners v of
  one u are summed first.
- LeakyReLU is linear but for one absolute value: odd z + even |z| with odd, even = (1 + slope) / 2, (1 - slope) / 2.
  The linear part of a score is one product per row; only the sum of even w |u + v| is left for the pair.
- The derivative is odd + even sign(z). Signs are found anew in the backward pass. (Where z is exactly 0, either side.)

Both sides of a pair are treated by the same code: row m of one side meets row m of the other in the positive pair, and
row m - roll in the negative one; roll is the pair's shift on the first side and M - shift on the second.

Every number is summed by one thread in one order, so results don't depend on the number of threads. All memory is
allocated per call.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rrzoo.kernels import relation_loops as loops
from rrzoo.kernels.relation_loops import UNITS

Plan = tuple[Tensor, Tensor, Tensor]  # first view, second view, shift: int64 (P,) each


def score_pairs(
    first: Tensor, second: Tensor, offset: Tensor, plan: Plan, norm: nn.BatchNorm1d, slope: float, last: nn.Linear
) -> Tensor:
    """Score all pairs of a plan as in training mode, and update the running statistics of `norm`.

    Args:
        first: float32 (K, M, H), hidden projections of the views as first of a pair; H is a multiple of UNITS.
        second: float32 (K, M, H), as second of a pair.
        offset: float32 (H,), what is to be added to the sum of two rows. BatchNorm takes it out again, so it moves the
            running mean only, and its gradient is 0.
        plan: what `relation.pair_plan` returns.
        norm: BatchNorm of the H hidden units.
        slope: of LeakyReLU below 0.
        last: Linear(H, 1).

    Returns:
        logits float32 (2, P, M): of the positive and of the negative pairs.
    """
    logits, mean, variance = _Scores.apply(
        first, second, offset, norm.weight, norm.bias, last.weight.flatten(), last.bias, plan, norm.eps, slope
    )
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance, norm.momentum)
        norm.num_batches_tracked += 1
    return logits


class _Scores(torch.autograd.Function):
    """Logits of all pairs; mean and unbiased variance of the hidden units over all pairs."""

    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        second: Tensor,
        offset: Tensor,
        gamma: Tensor,
        beta: Tensor,
        weight: Tensor,
        bias: Tensor,
        plan: Plan,
        eps: float,
        slope: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        views, images, units = first.shape
        centred, partners = torch.empty(2, units // UNITS, 2, views, images, UNITS)  # [block, side] each
        scaled = torch.empty(2, views, images, units)  # [side]
        moments = torch.empty(2, units)  # of all pairs: mean, variance
        indices, norm = tuple(_arrays(*plan)), tuple(_arrays(gamma, beta))
        loops.prepare(tuple(_arrays(first, second)), indices, norm, eps, *_arrays(centred, partners, scaled, moments))
        odd, even = (1 + slope) / 2, (1 - slope) / 2
        linear = scaled @ (odd * weight)  # [side], (K, M)
        linear[0] += bias
        logits = torch.empty(2, len(plan[0]), images)
        loops.score(indices, *_arrays(scaled, linear, even * weight, logits))
        ctx.save_for_backward(gamma, beta, weight, centred, partners, moments)
        ctx.plan, ctx.eps, ctx.odd, ctx.even = plan, eps, odd, even
        pairs = logits.numel()
        mean, variance = moments[0] + offset, moments[1] * (pairs / (pairs - 1))
        ctx.mark_non_differentiable(mean, variance)
        return logits, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gamma, beta, weight, centred, partners, moments = ctx.saved_tensors
        blocks, _, views, images, _ = centred.shape
        indices = tuple(_arrays(*ctx.plan))
        grad = grad.contiguous()
        turned = torch.empty_like(grad)
        totals = torch.zeros(2, views, images)  # [side]: of a row, over its pairs
        loops.share(indices, *_arrays(grad, turned, totals))
        scratch = torch.empty(numba.get_num_threads(), 2, 2, views, images, UNITS)
        grad_rows = torch.empty(2, views, images, blocks * UNITS)  # [side]
        grad_parameters = torch.empty(3, blocks * UNITS)  # gamma, beta, weight
        loops.backward(
            indices,
            tuple(_arrays(grad, turned)),
            tuple(_arrays(gamma, beta, weight)),
            (ctx.eps, np.float32(ctx.odd), np.float32(ctx.even)),
            *_arrays(totals, centred, partners, moments, scratch, grad_rows, grad_parameters),
        )
        no_grad = torch.zeros_like(gamma)
        return *grad_rows, no_grad, *grad_parameters, grad.sum().view(1), None, None, None


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]
