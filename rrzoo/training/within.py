"""Going on within an epoch: for epochs that last longer than anybody wants to lose."""

import time
from pathlib import Path

import torch
from torch import Tensor

from rrzoo import ranks
from rrzoo.training import checkpoint
from rrzoo.training.step import TrainStep

EVERY = 600  # s between two checkpoints within an epoch


class Clock:
    """Counts the seconds that a run has taken, those before it was resumed included."""

    def __init__(self, before: float) -> None:
        """Go on from `before`."""
        self.since = self.kept = time.perf_counter()
        self.since -= before

    @property
    def seconds(self) -> float:
        """So far."""
        return time.perf_counter() - self.since

    def is_time(self) -> bool:
        """Say, every EVERY seconds, that a checkpoint is due."""
        if time.perf_counter() - self.kept < EVERY:
            return False
        self.kept = time.perf_counter()
        return True


def go_on(step: TrainStep, epoch: int, run: Path, clock: Clock) -> tuple[int, dict[str, Tensor]]:
    """Go on within an epoch, where a run was stopped in it; return how many steps are done, and the sums over them.

    The sums, of loss and metrics, stay where they are computed until the log asks for them.
    """
    first = checkpoint.load_within(run, step, epoch) if ranks.this().first else None
    kept = ranks.say_from_first(first)
    if kept is None:
        return 0, {}
    done, totals, seconds = kept
    step.copy_from_first()
    clock.since = time.perf_counter() - seconds
    return done, {
        name: torch.tensor(total, dtype=step.device.exact, device=step.device.where) for name, total in totals.items()
    }
