"""What ranks that have met do together. Where there is one, it does without."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from rrzoo import errors
from rrzoo.ranks.meeting import collective, groups, this

T = TypeVar("T")


def gather_images(features: Tensor, images: int) -> Tensor:
    """Return the features of the whole batch on every rank, (K * M, ...), of this rank's (K * m, ...).

    They are joined along images, (K, m, ...) to (K, M, ...): rows put one behind the other would have a legal shape,
    and make pairs of views of different images.

    Args:
        features: all first views of the rank's images, then all second views, and so on.
        images: m.
    """
    if this().count == 1:
        return features
    gathered = all_gather(features.reshape(-1, images, *features.shape[1:]))  # (ranks, K, m, ...)
    return gathered.transpose(0, 1).flatten(0, 2)


def all_gather(tensor: Tensor) -> Tensor:
    """Return every rank's tensor, (ranks, ...); the gradient is the sum of what all ranks ask of this one's."""
    gathered: Tensor = _AllGather.apply(tensor)
    return gathered


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Put the mean over all ranks in place of each tensor."""
    if this().count == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    with collective():
        dist.all_reduce(flat, group=groups().steps)
    flat /= this().count
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


@torch.no_grad()
def copy_from_first(tensors: Sequence[Tensor]) -> None:
    """Put the first rank's tensors in place of the others'."""
    if this().count == 1:
        return
    with collective():
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def say_from_first(said: Any) -> Any:
    """Return what the first rank has to say, a plain object, on every rank."""
    if this().count == 1:
        return said
    box = [said]
    with collective():
        dist.broadcast_object_list(box, 0, group=groups().patient)
    return box[0]


def tell_first(said: T) -> list[T]:
    """Return what all ranks have to say, plain objects, on the first; on the others, nothing."""
    rank = this()
    if rank.count == 1:
        return [said]
    heard: list[Any] | None = [None] * rank.count if rank.first else None
    with collective():
        dist.gather_object(said, heard, group=groups().patient)
    return heard or []


def wait_for_all() -> None:
    """Go on when all ranks are here: one may have prepared for longer than PATIENCE."""
    if this().count > 1:
        with collective():
            dist.barrier(groups().patient)


def require_agreement(facts: dict[str, str]) -> None:
    """Go on when all ranks are here and of the same facts, such as versions.

    Raises:
        errors.ArgumentError: two ranks differ; the message names what in.
    """
    rank = this()
    if rank.count == 1:
        return
    everyone: list[Any] = [None] * rank.count
    with collective():
        dist.all_gather_object(everyone, facts, group=groups().patient)
    for number, other in enumerate(everyone):
        for name, value in everyone[0].items():
            if other.get(name) != value:
                raise errors.ArgumentError(
                    f"{name} is {value} on rank 0 and {other.get(name)} on rank {number}: all ranks need the same"
                )


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(this().count)]
        with collective():
            dist.all_gather(parts, tensor.contiguous(), group=groups().steps)
        return torch.stack(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        with collective():
            dist.all_reduce(total, group=groups().steps)
        return total[this().number]
