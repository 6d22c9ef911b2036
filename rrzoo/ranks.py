"""Ranks: processes that train one model together, each on its share of every batch, as `torchrun` starts them.

Every rank draws and shows its own images. The features of all are gathered, and each rank computes the loss of the
whole batch; the mean of the ranks' gradients is then that of one process, for the backbone and for what reads its
features alike, without a factor. A rank that hears nothing of another for `PATIENCE` ends with an error.

`this()` alone reads what torchrun says of a process.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from rrzoo import errors

PATIENCE = timedelta(seconds=20)  # in training, for the slowest rank
PREPARATION = timedelta(minutes=30)  # before it: one rank decodes images, the others wait for them

_steps: Any = None  # the group that waits for PATIENCE; the default group waits for PREPARATION


@dataclass(frozen=True)
class Rank:
    """Which of how many processes this one is."""

    number: int = 0
    count: int = 1
    local: int = 0  # its number on its machine

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.number == 0


def announced() -> Rank:
    """Return what the environment says that this process is, whether the ranks have met or not.

    Raises:
        errors.ArgumentError: it says what can't be.
    """
    if "WORLD_SIZE" not in os.environ:
        return Rank()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = [os.environ.get(name, default) for name, default in zip(names, "010", strict=True)]
    try:
        rank = Rank(*map(int, given))
    except ValueError:
        rank = Rank(-1)
    if not (0 <= rank.number < rank.count and rank.local >= 0):
        said = ", ".join(f"{name} is {value}" for name, value in zip(names, given, strict=True))
        raise errors.ArgumentError(f"{said}: start ranks with torchrun, which sets these variables")
    return rank


def this() -> Rank:
    """Return which rank this process is.

    Raises:
        errors.ArgumentError: the environment speaks of several that have not met: each would train a model of its own.
    """
    rank = announced()
    if rank.count > 1 and _steps is None:
        raise errors.ArgumentError(
            f"WORLD_SIZE is {rank.count}, and the ranks have not met: train with torchrun and scripts/train.py, or in "
            "a block of rrzoo.ranks.meet(); other commands run in one process"
        )
    return rank


@contextmanager
def meet(backend: str = "gloo") -> Iterator[Rank]:
    """Bring all ranks together for a block; does nothing where there is one.

    Args:
        backend: "nccl" where ranks have GPUs of NVIDIA, each that of its local number, else "gloo".

    Raises:
        errors.TrainingError: the others don't come, or one was lost.
    """
    global _steps
    rank = announced()
    if rank.count == 1 or _steps is not None:
        yield rank
        return
    if backend == "nccl":
        torch.cuda.set_device(rank.local)
    with _collective():
        dist.init_process_group(backend, timeout=PREPARATION)
        _steps = dist.new_group(timeout=PATIENCE)
    try:
        yield rank
        dist.destroy_process_group()  # not after an error: it would wait for ranks that are gone
    finally:
        _steps = None


def share(count: int) -> slice:
    """Return which of `count` images of a batch are this rank's.

    Raises:
        errors.ArgumentError: the ranks don't divide the batch.
    """
    rank = this()
    each, rest = divmod(count, rank.count)
    if rest:
        near = max(1, each) * rank.count
        raise errors.ArgumentError(
            f"a batch of {count} images can't be shared evenly by {rank.count} ranks: choose a multiple, such as "
            f"--batch-size {near}"
        )
    return slice(rank.number * each, (rank.number + 1) * each)


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
    with _collective():
        dist.all_reduce(flat, group=_steps)
    flat /= this().count
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


@torch.no_grad()
def copy_from_first(tensors: Sequence[Tensor]) -> None:
    """Put the first rank's tensors in place of the others'."""
    if this().count == 1:
        return
    with _collective():
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def say_from_first(said: Any) -> Any:
    """Return what the first rank has to say, a plain object, on every rank."""
    if this().count == 1:
        return said
    box = [said]
    with _collective():
        dist.broadcast_object_list(box, 0)
    return box[0]


def wait_for_all() -> None:
    """Go on when all ranks are here: one may have prepared for longer than PATIENCE."""
    if this().count > 1:
        with _collective():
            dist.barrier()


def require_agreement(facts: dict[str, str]) -> None:
    """Go on when all ranks are here and of the same facts, such as versions.

    Raises:
        errors.ArgumentError: two ranks differ; the message names what in.
    """
    rank = this()
    if rank.count == 1:
        return
    everyone: list[Any] = [None] * rank.count
    with _collective():
        dist.all_gather_object(everyone, facts)
    for number, other in enumerate(everyone):
        for name, value in everyone[0].items():
            if other.get(name) != value:
                raise errors.ArgumentError(
                    f"{name} is {value} on rank 0 and {other.get(name)} on rank {number}: all ranks need the same"
                )


@contextmanager
def _collective() -> Iterator[None]:
    """Say in one line that another rank is gone, or hangs."""
    try:
        yield
    except RuntimeError as problem:  # of torch's: the others closed the connection, or PATIENCE is over
        first = next(iter(str(problem).splitlines()), type(problem).__name__)
        reason = re.sub(r"\[\S+:\d+\]\s*", "", first).partition(". ")[0]  # without places in gloo's sources
        raise errors.TrainingError(
            f"rank {announced().number} lost the others ({reason:.100}): the last whole epoch's checkpoint is kept, go "
            "on with --resume"
        ) from None


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(this().count)]
        with _collective():
            dist.all_gather(parts, tensor.contiguous(), group=_steps)
        return torch.stack(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        with _collective():
            dist.all_reduce(total, group=_steps)
        return total[this().number]
