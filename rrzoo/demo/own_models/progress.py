"""How far a training is, from the logs that its process writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrzoo.demo.own_models.process import HELD_OUT, RUN
from rrzoo.training.run_log import LOG, lines


@dataclass(frozen=True)
class Progress:
    """What there is to show of a training."""

    state: str  # waiting, starting, looking, learning, measuring, done or failed
    before: int = 0  # trainings that come before it
    seconds: float = 0.0  # until it begins, or is done, about
    looks: int = 0  # at pictures so far, each several views of one
    of: int = 0  # pictures to look at before the head learns; 0: it learns from the first on
    losses: tuple[float, ...] = ()  # of each epoch
    sentence: str = ""  # what went wrong
    result: dict[str, Any] | None = None  # what the process says at the end


def read_log(folder: Path, pictures: int, head: bool, before: int, seconds: float) -> Progress:
    """Return how far a training is.

    Args:
        folder: of the training.
        pictures: that it is of.
        head: it is of a head alone.
        before: how many trainings come before it.
        seconds: until it begins, or is done, about.
    """
    if before:
        return Progress("waiting", before, seconds)
    records, run = lines(folder / LOG), lines(folder / RUN / LOG)
    last = records[-1] if records else {}
    epochs = [one for one in run if one["event"] == "epoch"]
    begun = max((number for number, one in enumerate(epochs) if one["epoch"] == 1), default=0)  # by the last head
    losses = tuple(one["loss"] for one in epochs[begun:])
    looks = max((one["looks"] for one in records if one["event"] == "looks"), default=0)
    of = pictures - round(HELD_OUT * pictures) if head else 0
    if last.get("event") == "failed":
        return Progress("failed", sentence=str(last["sentence"]))
    if last.get("event") == "done":
        return Progress("done", looks=looks, of=of, losses=losses, result=last)
    state = "starting"
    if records:
        state = "measuring" if last["event"] == "measuring" else "learning" if losses or not head else "looking"
    return Progress(state, 0, seconds, looks, of, losses)
