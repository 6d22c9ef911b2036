"""The loop of pre-training, top to bottom."""

import dataclasses
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rrzoo import backbones, environment, errors, files, pretext, recipes, relation
from rrzoo.config import BorrowedWeights, Recipe
from rrzoo.datasets import Dataset
from rrzoo.training import checkpoint
from rrzoo.training.run_log import log
from rrzoo.training.step import TrainStep, learning_rate

COMPILES = 5  # s that a first step takes at least where it compiles


@dataclass(frozen=True)
class Pretrained:
    """What pre-training leaves behind."""

    backbone: backbones.Backbone
    relation_head: relation.RelationHead | None  # of the tasks that train one
    images: int  # different ones
    epochs_done: int  # whole ones
    views_seen: int
    minutes: float
    arithmetic: str = ""  # of the backbone: float32, or bfloat16
    borrowed: BorrowedWeights | None = None  # that the backbone started from, if any


@environment.keep_memory()
def pretrain(
    recipe: Recipe,
    dataset: Dataset,
    run: Path,
    resume: bool = False,
    minutes: float = math.inf,
    backbone: backbones.Backbone | None = None,
) -> Pretrained:
    """Train a backbone, and what its pretext task adds to it, on images without labels (but for full supervision).

    Each step takes M images, shows K views of each to the backbone and follows the task's loss. A checkpoint is written
    into `run` after every epoch. A resumed run ends with the same weights as an uninterrupted one: order, views and
    learning rate depend on (seed, epoch, step) alone.

    Args:
        recipe: of the model.
        dataset: its images.
        run: folder for checkpoint and log; made if it is not there.
        resume: go on from the checkpoint in `run`.
        minutes: begin no epoch that, as long as those before took, would not be over after this time of training; a
            resumed run counts the time before, too. The first epoch is always trained.
        backbone: to go on from, with borrowed weights; default: one with random weights.

    Raises:
        errors.ArgumentError: fewer images than one batch, or a number of views that is not for the pretext task.
        errors.DatasetError: no labels, and the pretext task needs them.
        errors.TrainingError: a run is there and `resume` is not set, or the reverse; it was started with another
            recipe; the loss is not finite; checkpoint or log can't be written.
    """
    recipes.check(recipe)
    if len(dataset) < recipe.batch_size:
        raise errors.ArgumentError(f"{len(dataset)} images are less than one batch of {recipe.batch_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = backbone or backbones.create(recipe.backbone)
        task = pretext.create(recipe, backbone, dataset)
    step = TrainStep(task, dataset)
    epochs_done, seconds_before = _start(run, step, resume)
    started = time.perf_counter()

    def seconds() -> float:
        return seconds_before + time.perf_counter() - started

    images = len(dataset) // recipe.batch_size * recipe.batch_size  # an epoch; the rest waits for another's order
    task.train()
    with tqdm(
        total=recipe.epochs * images,
        initial=epochs_done * images,
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.5,
    ) as bar:
        for epoch in range(epochs_done, recipe.epochs):
            if epoch and seconds() * (epoch + 1) / epoch > 60 * minutes:
                break
            record = _train_epoch(step, epoch, run, bar)
            epochs_done, taken = epoch + 1, seconds()
            log(run, event="epoch", epoch=epochs_done, **record, seconds=round(taken, 1))
            checkpoint.save(run, step, epochs_done, taken)
    task.eval()
    views_seen = epochs_done * images * recipe.views
    return Pretrained(
        backbone, task.relation_head, len(dataset), epochs_done, views_seen, seconds() / 60, step.arithmetic
    )


def _train_epoch(step: TrainStep, epoch: int, run: Path, bar: tqdm) -> dict[str, float]:
    """Take the steps of one epoch; return what the log says of it: mean loss and metrics, and the pace."""
    task, recipe = step.task, step.task.recipe
    steps = len(step.dataset) // recipe.batch_size
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(step.dataset))
    begun = time.perf_counter()
    task.start_epoch(epoch, step.dataset)
    total_loss = 0.0
    totals: dict[str, Tensor] = {}  # of the task's metrics, where they were computed until the log asks for them
    for number in range(steps):
        # not sorted: neighbours in the batch make pairs
        indices = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
        step.optimizer.learning_rate = learning_rate(recipe, (epoch + number / steps) / recipe.epochs)
        if bar.n == bar.initial:
            loss, metrics = _first_step(step, epoch, indices, run, bar)
        else:
            loss, metrics = step(epoch, indices)
        for name, value in metrics.items():
            totals[name] = value.double() if name not in totals else totals[name] + value
        total_loss += loss.item()  # the only figure that every step waits for
        if not math.isfinite(total_loss):
            raise errors.TrainingError(
                f"the loss is {loss.item()} at epoch {epoch + 1}, step {number + 1}: lower the learning rate "
                f"(it is {recipe.learning_rate}) and start anew"
            )
        shown = f"epoch {epoch + 1}/{recipe.epochs}, loss {total_loss / (number + 1):.4f}"
        bar.set_postfix_str(shown, refresh=False)
        bar.update(recipe.batch_size)
    images_per_second = steps * recipe.batch_size / (time.perf_counter() - begun)
    return {
        "loss": round(total_loss / steps, 6),
        **{name: round(total.item() / steps, 4) for name, total in totals.items()},
        "images_per_second": round(images_per_second, 1),
        "views_per_second": round(images_per_second * recipe.views, 1),
    }


def _first_step(
    step: TrainStep, epoch: int, indices: np.ndarray, run: Path, bar: tqdm
) -> tuple[Tensor, dict[str, Tensor]]:
    """Take the first step of a process, most of which is compiling, or loading what was compiled; say so.

    The bar leaves it out of its pace, from which it tells how much time is left.
    """
    bar.set_postfix_str("preparing the first step: about a minute where it has to compile, which it does once")
    begun = time.perf_counter()
    loss, metrics = step(epoch, indices)
    seconds = time.perf_counter() - begun
    if seconds > COMPILES:
        bar.write(f"compiled for this machine in {seconds:.0f} s; the next start finds it on disk", sys.stderr)
    bar.unpause()
    log(run, event="first_step", seconds=round(seconds, 2))
    return loss, metrics


def _start(run: Path, step: TrainStep, resume: bool) -> tuple[int, float]:
    """Begin or resume a run; return how many epochs are done and the seconds they took."""
    recipe, dataset = step.task.recipe, step.dataset
    saved = run / checkpoint.CHECKPOINT
    if saved.exists() and not resume:
        raise errors.TrainingError(
            f"{run} holds an unfinished run: go on with --resume, or delete the folder to start anew"
        )
    if resume and not saved.exists():
        raise errors.TrainingError(f"{run} holds no checkpoint to resume: start without --resume")
    try:
        run.mkdir(parents=True, exist_ok=True)
        files.remove_abandoned(run)
    except OSError as problem:
        raise errors.TrainingError(f"{run} can't be made ({problem.strerror}): choose another folder") from None
    epochs_done, seconds = 0, 0.0
    if resume:
        epochs_done, seconds = checkpoint.load(run, step)
    log(
        run,
        event="resume" if resume else "start",
        epochs_done=epochs_done,
        recipe=dataclasses.asdict(recipe),
        data=dataset.description,
        images=len(dataset),
        machine=environment.machine(),
        arithmetic=step.arithmetic,
        threads=torch.get_num_threads(),
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"),
        versions=environment.versions(),
    )
    return epochs_done, seconds
