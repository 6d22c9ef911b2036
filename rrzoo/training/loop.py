"""The loop of pre-training, top to bottom."""

import dataclasses
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from rrzoo import backbones, environment, errors, pretext, recipes, relation
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.training import checkpoint
from rrzoo.training.run_log import log
from rrzoo.training.step import TrainStep, learning_rate


@dataclass(frozen=True)
class Pretrained:
    """What pre-training leaves behind."""

    backbone: backbones.Backbone
    relation_head: relation.RelationHead | None  # of the tasks that train one
    images: int  # different ones
    epochs_done: int  # whole ones
    views_seen: int
    minutes: float


@environment.keep_memory()
def pretrain(
    recipe: Recipe, dataset: Dataset, run: Path, resume: bool = False, minutes: float = math.inf
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

    Raises:
        errors.ArgumentError: fewer images than one batch, or a number of views that is not for the pretext task.
        errors.DatasetError: no labels, and the pretext task needs them.
        errors.TrainingError: a run is there and `resume` is not set, or the reverse; it was started with another
            recipe; the loss is not finite.
    """
    recipes.check(recipe)
    steps = len(dataset) // recipe.batch_size  # the rest waits for another epoch's order
    if steps < 1:
        raise errors.ArgumentError(f"{len(dataset)} images are less than one batch of {recipe.batch_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = backbones.create(recipe.backbone)
        task = pretext.create(recipe, backbone, dataset)
    step = TrainStep(task, dataset)
    first_epoch, seconds_before = _start(run, step, resume)

    started = time.perf_counter()
    bar = tqdm(
        total=recipe.epochs * steps * recipe.batch_size,
        initial=first_epoch * steps * recipe.batch_size,
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.5,
    )
    task.train()
    epochs_done = first_epoch
    for epoch in range(first_epoch, recipe.epochs):
        seconds = seconds_before + time.perf_counter() - started
        if epoch and seconds * (epoch + 1) / epoch > 60 * minutes:
            break
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(dataset))
        epoch_started = time.perf_counter()
        totals: dict[str, float] = {}  # of the loss and the task's metrics
        task.start_epoch(epoch, dataset)
        for number in range(steps):
            # not sorted: neighbours in the batch make pairs
            indices = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
            step.optimizer.learning_rate = learning_rate(recipe, (epoch + number / steps) / recipe.epochs)
            step_started = time.perf_counter()
            loss, metrics = step(epoch, indices)
            if (epoch, number) == (first_epoch, 0):  # most of it is compiling, or loading what was compiled
                log(run, event="first_step", seconds=round(time.perf_counter() - step_started, 2))
            for name, value in {"loss": loss, **metrics}.items():
                totals[name] = totals.get(name, 0.0) + value.item()
            if not math.isfinite(totals["loss"]):
                raise errors.TrainingError(
                    f"the loss is {loss.item()} at epoch {epoch + 1}, step {number + 1}: lower the learning rate "
                    f"(it is {recipe.learning_rate}) and start anew"
                )
            mean = totals["loss"] / (number + 1)
            bar.set_postfix_str(f"epoch {epoch + 1}/{recipe.epochs}, loss {mean:.4f}", refresh=False)
            bar.update(recipe.batch_size)

        epochs_done = epoch + 1
        now = time.perf_counter()
        seconds = seconds_before + now - started
        images_per_second = steps * recipe.batch_size / (now - epoch_started)
        log(
            run,
            event="epoch",
            epoch=epoch + 1,
            **{name: round(total / steps, 6 if name == "loss" else 4) for name, total in totals.items()},
            images_per_second=round(images_per_second, 1),
            views_per_second=round(images_per_second * recipe.views, 1),
            seconds=round(seconds, 1),
        )
        checkpoint.save(run, step, epoch + 1, seconds)
    bar.close()
    task.eval()
    seconds = seconds_before + time.perf_counter() - started
    views_seen = epochs_done * steps * recipe.batch_size * recipe.views
    return Pretrained(backbone, task.relation_head, len(dataset), epochs_done, views_seen, seconds / 60)


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
    run.mkdir(parents=True, exist_ok=True)
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
        threads=torch.get_num_threads(),
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"),
        versions=environment.versions(),
    )
    return epochs_done, seconds
