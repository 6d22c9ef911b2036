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

from rrzoo import backbones, devices, environment, errors, files, pretext, ranks, recipes, relation
from rrzoo.config import BorrowedWeights, Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.training import checkpoint, costs
from rrzoo.training.run_log import log
from rrzoo.training.step import TrainStep, learning_rate
from rrzoo.training.within import Clock, go_on

COMPILES = 5  # s that a first step takes at least where it compiles
WATCH = 16  # steps between two looks at the loss on a GPU, which has to finish its work for each


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
    gpu: str = ""  # that was used, if any was


@environment.keep_memory()
def pretrain(
    recipe: Recipe,
    dataset: Dataset,
    run: Path,
    resume: bool = False,
    minutes: float = math.inf,
    backbone: backbones.Backbone | None = None,
    device: Device = devices.CPU,
) -> Pretrained:
    """Train a backbone, and what its pretext task adds to it, on images without labels (but for full supervision).

    Each step takes M images, shows K views of each to the backbone and follows the task's loss. A checkpoint is written
    into `run` after every epoch, and within a long one every ten minutes. A resumed run ends with the same weights as
    an uninterrupted one: order, views and learning rate depend on (seed, epoch, step) alone; so does one on another
    device, or another number of ranks, up to rounding.

    Several ranks, see `rrzoo.ranks`, share each batch. All return what was learnt; the first alone writes.

    Args:
        recipe: of the model.
        dataset: its images.
        run: folder for checkpoint and log; made if it is not there.
        resume: go on from the checkpoint in `run`.
        minutes: begin no epoch that, as long as those before took, would not be over after this time of training; a
            resumed run counts the time before, too. The first epoch is always trained.
        backbone: to go on from, with borrowed weights; default: one with random weights.
        device: that computes. What is returned is on the CPU.

    Raises:
        errors.ArgumentError: fewer images than one batch, a number of views that is not for the pretext task, or ranks
            that don't divide the batch or are of other versions.
        errors.DatasetError: no labels, and the pretext task needs them.
        errors.TrainingError: a run is there and `resume` is not set, or the reverse; it was started with another
            recipe; the loss is not finite; checkpoint or log can't be written; the device has no room; a rank was lost.
    """
    recipes.check(recipe)
    ranks.share(recipe.batch_size)  # raises where the ranks don't divide it
    facts = {"the recipe": str(recipe), "the number of images": str(len(dataset))}
    ranks.require_agreement(environment.versions() | facts)
    if len(dataset) < recipe.batch_size:
        raise errors.ArgumentError(f"{len(dataset)} images are less than one batch of {recipe.batch_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = backbone or backbones.create(recipe.backbone)
        task = pretext.create(recipe, backbone, dataset)
    step = TrainStep(task, dataset, device=device)
    epochs_done, seconds_before = _start(run, step, resume)
    clock = Clock(seconds_before)
    images = len(dataset) // recipe.batch_size * recipe.batch_size  # an epoch; the rest waits for another's order
    task.train()
    with tqdm(
        total=recipe.epochs * images,
        initial=epochs_done * images,
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.5,
        disable=not ranks.this().first,
    ) as bar:
        for epoch in range(epochs_done, recipe.epochs):
            if ranks.say_from_first(bool(epoch and clock.seconds * (epoch + 1) / epoch > 60 * minutes)):
                break
            record = _train_epoch(step, epoch, run, bar, clock)
            epochs_done, taken = epoch + 1, clock.seconds
            if ranks.this().first:
                log(run, event="epoch", epoch=epochs_done, **record, seconds=round(taken, 1))
                checkpoint.save(run, step, epochs_done, taken)
    task.eval().to("cpu")
    views_seen = epochs_done * images * recipe.views
    taken = clock.seconds / 60
    arithmetic, gpu = step.arithmetic, _gpu(step)
    return Pretrained(backbone, task.relation_head, len(dataset), epochs_done, views_seen, taken, arithmetic, gpu=gpu)


def _gpu(step: TrainStep) -> str:
    """Name the GPUs that train, "" if the CPU does."""
    count = ranks.this().count
    return "" if step.device.is_cpu else f"{count} x {step.device.name}" if count > 1 else step.device.name


def _train_epoch(step: TrainStep, epoch: int, run: Path, bar: tqdm, clock: Clock) -> dict[str, float]:
    """Take the steps of one epoch; return what the log says of it: mean loss and metrics, and the pace."""
    task, recipe = step.task, step.task.recipe
    steps = len(step.dataset) // recipe.batch_size
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(step.dataset))
    begun = time.perf_counter()
    task.start_epoch(epoch, step.dataset)
    done, totals = go_on(step, epoch, run, clock)
    if done and not bar.disable:  # what was done before is no speed of this process
        bar.initial += done * recipe.batch_size
        bar.n += done * recipe.batch_size
    watch = 1 if step.device.is_cpu else WATCH
    # not sorted: neighbours in the batch make pairs
    batches = np.split(order[: steps * recipe.batch_size], steps)
    for number, indices in enumerate(batches[done:], done):
        following = batches[number + 1] if number + 1 < steps else None
        step.optimizer.learning_rate = learning_rate(recipe, (epoch + number / steps) / recipe.epochs)
        try:
            first = step.view_buffer is None  # nothing was shown yet
            loss, metrics = _first_step(step, epoch, indices, run, bar) if first else step(epoch, indices, following)
        except torch.OutOfMemoryError:
            raise costs.no_room(step) from None
        for name, value in {"loss": loss, **metrics}.items():
            totals[name] = value.to(step.device.exact) if name not in totals else totals[name] + value
        bar.update(recipe.batch_size)
        if (number + 1) % watch and number + 1 < steps:
            continue
        mean_loss = totals["loss"].item() / (number + 1)  # the only figure that training waits for
        if not math.isfinite(mean_loss):
            raise errors.TrainingError(
                f"the loss is {loss.item()} at epoch {epoch + 1}, step {number + 1}: lower the learning rate "
                f"(it is {recipe.learning_rate}) and start anew"
            )
        bar.set_postfix_str(f"epoch {epoch + 1}/{recipe.epochs}, loss {mean_loss:.4f}", refresh=False)
        if ranks.this().first and number + 1 < steps and clock.is_time():
            checkpoint.save_within(run, step, epoch, number + 1, totals, clock.seconds)
    images_per_second = (steps - done) * recipe.batch_size / (time.perf_counter() - begun)
    means = {name: total.item() / steps for name, total in totals.items()}
    return {
        "loss": round(means.pop("loss"), 6),
        **{name: round(mean, 4) for name, mean in means.items()},
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
    if ranks.this().first:
        bar.unpause()
        log(run, event="first_step", seconds=round(seconds, 2))
    return loss, metrics


def _start(run: Path, step: TrainStep, resume: bool) -> tuple[int, float]:
    """Begin or resume a run on all ranks; return how many epochs are done and the seconds they took."""
    done = (0, 0.0)
    if ranks.this().first:
        done = _open(run, step, resume)
    epochs_done, seconds = ranks.say_from_first(done)
    step.copy_from_first()
    return epochs_done, seconds


def _open(run: Path, step: TrainStep, resume: bool) -> tuple[int, float]:
    """Make the folder of a run, or read its checkpoint; return what `_start` does."""
    recipe, dataset = step.task.recipe, step.dataset
    there = checkpoint.is_in(run)
    if there and not resume:
        raise errors.TrainingError(
            f"{run} holds an unfinished run: go on with --resume, or delete the folder to start anew"
        )
    if resume and not there:
        raise errors.TrainingError(f"{run} holds no checkpoint to resume: start without --resume")
    try:
        run.mkdir(parents=True, exist_ok=True)
        files.remove_abandoned(run)
    except OSError as problem:
        raise errors.TrainingError(f"{run} can't be made ({problem.strerror}): choose another folder") from None
    epochs_done, seconds = 0, 0.0
    if (run / checkpoint.CHECKPOINT).exists():
        epochs_done, seconds = checkpoint.load(run, step)
    log(
        run,
        event="resume" if resume else "start",
        epochs_done=epochs_done,
        recipe=dataclasses.asdict(recipe),
        data=dataset.description,
        images=len(dataset),
        machine=environment.machine(_gpu(step)),
        device=step.device.name,
        ranks=ranks.this().count,
        arithmetic=step.arithmetic,
        threads=torch.get_num_threads(),
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"),
        versions=environment.versions(),
    )
    return epochs_done, seconds
