"""Checkpoints: all that a run needs to go on as if it had not been stopped."""

import dataclasses
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rrzoo import errors, files
from rrzoo.config import Recipe
from rrzoo.records import from_dict
from rrzoo.training.step import TrainStep

CHECKPOINT = "checkpoint.safetensors"


def save(run: Path, step: TrainStep, epochs_done: int, seconds: float) -> None:
    """Write a checkpoint into the folder of a run, in place of the one before.

    Raises:
        errors.TrainingError: it can't be written, since the disk is full, say; the one before is still there.
    """
    task = step.task
    tensors = {f"learner.{name}": value for name, value in task.state_dict().items()}
    names = [name for name, _ in task.named_parameters()]
    tensors |= {f"optimizer.{name}": value for name, value in step.optimizer.state(names).items()}
    metadata = {
        "recipe": json.dumps(dataclasses.asdict(task.recipe)),
        "epochs_done": str(epochs_done),
        "seconds": str(seconds),
    }
    try:
        with files.new_file(run / CHECKPOINT) as unfinished:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished, metadata)
    except (SafetensorError, OSError) as problem:
        kept = (
            "go on with --resume from the epoch before, whose checkpoint is whole" if epochs_done > 1 else "start anew"
        )
        raise errors.TrainingError(
            f"{run / CHECKPOINT} of epoch {epochs_done} can't be written ({problem}): make room, then {kept}"
        ) from None


def recipe_of(run: Path) -> Recipe:
    """Return the recipe that a run was started with.

    Raises:
        errors.TrainingError: it has no checkpoint that can be read.
    """
    if not (run / CHECKPOINT).exists():
        raise errors.TrainingError(f"{run} holds no checkpoint to resume: start without --resume")
    try:
        with safe_open(run / CHECKPOINT, "pt") as file:
            return from_dict(Recipe, json.loads(file.metadata()["recipe"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise errors.TrainingError(
            f"{run / CHECKPOINT} can't be read ({problem}): delete {run} to start anew"
        ) from None


def load(run: Path, step: TrainStep) -> tuple[int, float]:
    """Go on from the checkpoint of a run; return how many epochs are done and the seconds they took.

    Raises:
        errors.TrainingError: it can't be read, or is of another recipe or another version of rrzoo.
    """
    task, recipe = step.task, step.task.recipe
    try:
        with safe_open(run / CHECKPOINT, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        saved = from_dict(Recipe, json.loads(metadata["recipe"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise errors.TrainingError(
            f"{run / CHECKPOINT} can't be read ({problem}): delete {run} to start anew"
        ) from None
    if saved != recipe:
        changed = [
            f"{field.name} was {getattr(saved, field.name)}, is {getattr(recipe, field.name)}"
            for field in dataclasses.fields(recipe)
            if getattr(saved, field.name) != getattr(recipe, field.name)
        ]
        raise errors.TrainingError(
            f"{run} was started with another recipe ({'; '.join(changed)}): "
            "resume with the same options, or delete the folder to start anew"
        )
    names = [name for name, _ in task.named_parameters()]
    try:
        task.load_state_dict(_with_prefix("learner.", tensors))
        step.optimizer.load_state(names, _with_prefix("optimizer.", tensors))
        return int(metadata["epochs_done"]), float(metadata["seconds"])
    except (KeyError, RuntimeError, ValueError) as problem:
        raise errors.TrainingError(
            f"{run / CHECKPOINT} is not of this version of rrzoo ({problem}): delete {run} to start anew"
        ) from None


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
