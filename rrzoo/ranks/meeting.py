"""Meeting: which rank a process is, and the groups in which all speak to one another."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from rrzoo import errors
from rrzoo.ranks.heartbeat import FIRST, Heartbeat, Process

T = TypeVar("T")

PATIENCE = timedelta(seconds=20)  # in training, for the slowest rank
MEETING = timedelta(minutes=10)  # until all ranks are there
ANY_TIME = timedelta(days=30)  # one rank decodes images, or has a larger share: the heartbeat says whether it lives
REMEDY = "start again"


@dataclass(frozen=True)
class Meeting:
    """Ranks that have met."""

    steps: Any  # the process group that waits for PATIENCE, where the device computes
    patient: Any  # the one that waits for ANY_TIME, on the CPU
    remedy: str  # what to do where a rank is lost


_meeting: Meeting | None = None


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
        errors.ArgumentError: the environment speaks of several that have not met: each would do all of the work.
    """
    rank = announced()
    if rank.count > 1 and _meeting is None:
        raise errors.ArgumentError(
            f"WORLD_SIZE is {rank.count}, and the ranks have not met: rrzoo train NAME, evaluate and index bring those "
            "of torchrun together, as does a block of rrzoo.ranks.meet(); all else runs in one process"
        )
    return rank


@contextmanager
def meet(backend: str = "gloo", remedy: str = REMEDY) -> Iterator[Rank]:
    """Bring all ranks together for a block; does nothing where there is one.

    Args:
        backend: "nccl" where ranks have GPUs of NVIDIA, each that of its local number, else "gloo".
        remedy: what is kept, and what to do, where a rank is lost: the end of an error's sentence.

    Raises:
        errors.ArgumentError: nothing says where.
        errors.TrainingError: the others don't come, or one was lost.
    """
    global _meeting
    rank = announced()
    if rank.count == 1 or _meeting is not None:
        yield rank
        return
    if absent := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise errors.ArgumentError(
            f"WORLD_SIZE is {rank.count}, and {absent[0]} is not set: start ranks with torchrun, which sets both"
        )
    if backend == "nccl":
        torch.cuda.set_device(rank.local)
    with collective(remedy):
        dist.init_process_group(backend, timeout=MEETING)
        patient = dist.new_group(timeout=ANY_TIME, backend="gloo")
        met = Meeting(dist.new_group(timeout=PATIENCE), patient, remedy)
        heartbeat = _heartbeat(rank, met)
    _meeting = met
    try:
        yield rank
        with collective():
            dist.barrier(met.patient)
            heartbeat.leave()
            dist.barrier(met.steps)  # nobody listens any more: now the rank that holds the store may go
        dist.destroy_process_group()  # not after an error: it would wait for ranks that are gone
    finally:
        heartbeat.abandon()
        _meeting = None


def _heartbeat(rank: Rank, met: Meeting) -> Heartbeat:
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(host, port, is_master=False, timeout=MEETING)  # type: ignore[attr-defined]
    attempt = [os.urandom(8).hex()]  # torchrun's store outlives ranks that it starts again
    dist.broadcast_object_list(attempt, 0, group=met.patient)
    own = dist.PrefixStore(f"heartbeat/{attempt[0]}", store)  # type: ignore[attr-defined]
    own.set(str(rank.number), FIRST)
    processes: list[Any] = [None] * rank.count
    dist.all_gather_object(processes, Process.this(), group=met.patient)
    return Heartbeat(own, processes, rank.number, met.remedy)


def groups() -> Meeting:
    """Return the process groups of ranks that have met."""
    assert _meeting is not None
    return _meeting


@contextmanager
def collective(remedy: str = "") -> Iterator[None]:
    """Say in one line that another rank is gone, or hangs."""
    try:
        yield
    except RuntimeError as problem:  # of torch's: the others closed the connection, or the time is over
        without_places = re.sub(r"\[\S+:\d+\]\s*", "", str(problem))  # in gloo's sources
        reason = errors.first_line(without_places).partition(". ")[0]
        remedy = remedy or groups().remedy
        raise errors.TrainingError(f"rank {announced().number} lost the others ({reason:.100}): {remedy}") from None


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


def in_turn(items: Sequence[T], block: int) -> list[T]:
    """Return this rank's share of items, dealt out in blocks of so many: its blocks are some of one process's."""
    rank = this()
    starts = range(rank.number * block, len(items), rank.count * block)
    return [item for start in starts for item in items[start : start + block]]
