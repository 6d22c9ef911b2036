"""Checkpoints: all that a run needs to go on as if it had not been stopped."""

import dataclasses
import json
import math
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rrzoo import errors, files
from rrzoo.config import Recipe
from rrzoo.records import from_dict, parse
from rrzoo.training.step import TrainStep

CHECKPOINT = "checkpoint.safetensors"
BEFORE = "checkpoint-before.safetensors"  # of the epoch before
WITHIN = "checkpoint-within.safetensors"  # of a long epoch that is not over


def save(run: Path, step: TrainStep, epochs_done: int, seconds: float) -> None:
    """Write a checkpoint into the folder of a run, and keep the one before beside it.

    Raises:
        errors.TrainingError: it can't be written, since the disk is full, say; the one before is still there.
    """
    metadata = {"epochs_done": str(epochs_done), "seconds": str(seconds)}
    try:
        with files.new_file(run / CHECKPOINT) as unfinished:
            _write(unfinished, step, metadata)
            _keep_before(run)
        (run / WITHIN).unlink(missing_ok=True)
    except (SafetensorError, OSError) as problem:
        kept = (
            "go on with --resume from the epoch before, whose checkpoint is whole" if epochs_done > 1 else "start anew"
        )
        raise errors.TrainingError(
            f"{run / CHECKPOINT} of epoch {epochs_done} can't be written ({problem}): make room, then {kept}"
        ) from None


def save_within(
    run: Path, step: TrainStep, epoch: int, steps_done: int, totals: Mapping[str, Tensor], seconds: float
) -> None:
    """Write a checkpoint within an epoch, counted from 0, beside that of the epoch before.

    Args:
        run: its folder.
        step: that has been taken `steps_done` times in this epoch.
        epoch: its number.
        steps_done: in it.
        totals: float64 scalars, sums over these steps for the log.
        seconds: that the run has taken.

    Raises:
        errors.TrainingError: it can't be written; the one before is still there.
    """
    metadata = {"epochs_done": str(epoch), "steps_done": str(steps_done), "seconds": str(seconds)}
    try:
        with files.new_file(run / WITHIN) as unfinished:
            _write(unfinished, step, metadata, {f"total.{name}": total for name, total in totals.items()})
    except (SafetensorError, OSError) as problem:
        raise errors.TrainingError(
            f"{run / WITHIN} can't be written ({problem}): make room, then go on with --resume"
        ) from None


def is_in(run: Path) -> bool:
    """Say whether a run has anything to go on from."""
    return (run / CHECKPOINT).exists() or (run / WITHIN).exists()


def recipe_of(run: Path) -> Recipe:
    """Return the recipe that a run was started with.

    Raises:
        errors.TrainingError: it has no checkpoint that can be read.
    """
    if not is_in(run):
        raise errors.TrainingError(f"{run} holds no checkpoint to resume: start without --resume")
    path = run / CHECKPOINT if (run / CHECKPOINT).exists() else run / WITHIN
    try:
        files.check_regular(path)
        with safe_open(path, "pt") as file:
            return from_dict(Recipe, parse(file.metadata()["recipe"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise _with_remedy(run, errors.TrainingError(f"{path} can't be read ({problem})")) from None


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
    check_same_recipe(run, saved, recipe)
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


def load_within(run: Path, step: TrainStep, epoch: int) -> tuple[int, dict[str, float], float] | None:
    """Go on within an epoch, if there is a checkpoint of it; return what `save_within` was told, else None.

    Raises:
        errors.TrainingError: it can't be read, or is of another recipe or another version of rrzoo.
    """
    path, recipe = run / WITHIN, step.task.recipe
    if not path.exists():
        return None
    remedy = f"delete {path} to go on from the last whole epoch"
    try:
        saved, metadata, tensors = read(path)
    except errors.TrainingError as problem:
        raise errors.TrainingError(f"{problem}: {remedy}") from None
    check_same_recipe(run, saved, recipe)
    try:
        if int(metadata["epochs_done"]) != epoch:
            return None
        steps_done, seconds = int(metadata["steps_done"]), float(metadata["seconds"])
        totals = {name: float(total) for name, total in _with_prefix("total.", tensors).items()}
        if not (steps_done >= 1 and 0 <= seconds < math.inf and "loss" in totals):
            raise ValueError(f"{steps_done} steps in {seconds} seconds are done")
        if strange := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{strange[0]} holds values that are not finite")
        step.load_state(_with_prefix("learner.", tensors), _with_prefix("optimizer.", tensors))
        return steps_done, totals, seconds
    except (KeyError, RuntimeError, TypeError, ValueError) as problem:
        first = str(problem).splitlines()[-1].strip()
        raise errors.TrainingError(
            f"{path} is damaged, or of another version of rrzoo ({first:.200}): {remedy}"
        ) from None


def _write(
    path: Path, step: TrainStep, metadata: dict[str, str], tensors: Mapping[str, Tensor] = MappingProxyType({})
) -> None:
    learner, optimizer = step.state()
    every = {f"learner.{name}": value for name, value in learner.items()} | dict(tensors)
    every |= {f"optimizer.{name}": value for name, value in optimizer.items()}
    recipe = {"recipe": json.dumps(dataclasses.asdict(step.task.recipe))}
    save_file({name: tensor.cpu().contiguous() for name, tensor in every.items()}, path, recipe | metadata)


def check_same_recipe(run: Path, saved: Recipe, recipe: Recipe) -> None:
    """Refuse to go on with another recipe; say what has changed.

    Raises:
        errors.TrainingError: they differ.
    """
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
