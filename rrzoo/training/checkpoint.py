"""Checkpoints: all that a run needs to go on as if it had not been stopped."""

import dataclasses
import json
import math
import os
import shlex
import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rrzoo import errors, files
from rrzoo.config import Recipe
from rrzoo.records import from_dict, parse
from rrzoo.training.step import TrainStep

CHECKPOINT = "checkpoint.safetensors"
BEFORE = "checkpoint-before.safetensors"  # of the epoch before


def save(run: Path, step: TrainStep, epochs_done: int, seconds: float) -> None:
    """Write a checkpoint into the folder of a run, and keep the one before beside it.

    Raises:
        errors.TrainingError: it can't be written, since the disk is full, say; the one before is still there.
    """
    task = step.task
    learner, optimizer = step.state()
    tensors = {f"learner.{name}": value for name, value in learner.items()}
    tensors |= {f"optimizer.{name}": value for name, value in optimizer.items()}
    metadata = {
        "recipe": json.dumps(dataclasses.asdict(task.recipe)),
        "epochs_done": str(epochs_done),
        "seconds": str(seconds),
    }
    try:
        with files.new_file(run / CHECKPOINT) as unfinished:
            save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, unfinished, metadata)
            _keep_before(run)
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
        files.check_regular(run / CHECKPOINT)
        with safe_open(run / CHECKPOINT, "pt") as file:
            return from_dict(Recipe, parse(file.metadata()["recipe"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise _with_remedy(run, errors.TrainingError(f"{run / CHECKPOINT} can't be read ({problem})")) from None


def load(run: Path, step: TrainStep) -> tuple[int, float]:
    """Go on from the checkpoint of a run; return how many epochs are done and the seconds they took.

    Raises:
        errors.TrainingError: it can't be read, or is of another recipe or another version of rrzoo.
    """
    recipe = step.task.recipe
    try:
        saved, metadata, tensors = read(run / CHECKPOINT)
    except errors.TrainingError as problem:
        raise _with_remedy(run, problem) from None
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
    try:
        epochs_done, seconds = int(metadata["epochs_done"]), float(metadata["seconds"])
        if not (1 <= epochs_done <= recipe.epochs and 0 <= seconds < math.inf):
            raise ValueError(f"{epochs_done} epochs of {recipe.epochs} in {seconds} seconds are done")
        if strange := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{strange[0]} holds values that are not finite")
        step.load_state(_with_prefix("learner.", tensors), _with_prefix("optimizer.", tensors))
        return epochs_done, seconds
    except (KeyError, RuntimeError, TypeError, ValueError) as problem:
        first = str(problem).splitlines()[-1].strip()
        raise errors.TrainingError(
            f"{run / CHECKPOINT} is damaged, or not of this version of rrzoo ({first:.200}): delete {run} to start anew"
        ) from None


def _keep_before(run: Path) -> None:
    """Give the checkpoint that is there its second name; until the new one is whole it has both."""
    if (run / CHECKPOINT).exists():
        with files.new_file(run / BEFORE) as spare:
            spare.unlink()
            try:
                os.link(run / CHECKPOINT, spare)
            except OSError:  # not every file system has links
                shutil.copyfile(run / CHECKPOINT, spare)


def _with_remedy(run: Path, problem: errors.TrainingError) -> errors.TrainingError:
    """Say of a checkpoint that can't be read which one can."""
    try:
        _, metadata, _ = read(run / BEFORE)
        epoch = int(metadata["epochs_done"])
    except (errors.TrainingError, KeyError, ValueError):
        return errors.TrainingError(f"{problem}: delete {run} to start anew")
    move = f"mv {shlex.quote(str(run / BEFORE))} {shlex.quote(str(run / CHECKPOINT))}"
    return errors.TrainingError(
        f"{problem}. The one before it can, of epoch {epoch}: go on from there with --resume, after: {move}"
    )


def read(path: Path) -> tuple[Recipe, dict[str, str], dict[str, Tensor]]:
    """Return the recipe, the metadata and the tensors of a checkpoint.

    Raises:
        errors.TrainingError: it can't be read.
    """
    try:
        files.check_regular(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        return from_dict(Recipe, parse(metadata["recipe"])), metadata, tensors
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise errors.TrainingError(f"{path} can't be read ({problem})") from None


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
