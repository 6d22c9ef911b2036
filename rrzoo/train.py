"""Pre-training: the loop, top to bottom, with checkpoints it can be resumed from bit for bit."""

import dataclasses
import json
import math
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from rrzoo import backbones, errors, memory, pretext, relation, views
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
from rrzoo.pretext import Batch, Pretext
from rrzoo.recipes import OPTIMIZERS, Recipe, from_dict

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Pretrained:
    """What pre-training leaves behind."""

    backbone: backbones.Backbone
    relation_head: relation.RelationHead | None  # of the tasks that train one
    images: int  # different ones
    epochs_done: int  # whole ones
    views_seen: int
    minutes: float


class Step:
    """One step of training: images, views, features, loss, descent."""

    def __init__(self, task: Pretext, dataset: Dataset) -> None:
        """Keep what every step needs; the task's recipe gives seed, optimizer and learning rate."""
        self.task, self.dataset = task, dataset
        self.optimizer = OPTIMIZERS[task.recipe.optimizer](task.parameters(), task.recipe.learning_rate)
        self.extract = task.backbone.feature_map if task.takes_maps else conv4.fast(task.backbone)
        self.plain = type(task).inputs is not Pretext.inputs  # the task does something to the views
        self.labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
        self.mean, self.std = torch.tensor(dataset.mean), torch.tensor(dataset.std)
        self.made: Tensor | None = None  # views of the last step: their memory is used again

    def batch(self, epoch: int, numbers: np.ndarray) -> Batch:
        """Return images (M,) of the data set by their numbers."""
        pixels = torch.from_numpy(self.dataset.images[numbers]).permute(0, 3, 1, 2)  # (M, 3, H, W)
        labels = None if self.labels is None else self.labels[torch.from_numpy(numbers)]
        return Batch(pixels, numbers, labels, self.task.recipe.seed, epoch)

    def views(self, batch: Batch) -> Tensor:
        """Return the views of a batch as `inputs` takes them or, without it, fastest `extract`; valid until the next.

        Returns:
            float32 (N, 3, S, S), or blocked, see `conv4.block`.
        """
        drawn, size = self.task.draw(batch), self.task.size
        extract = self.extract
        blocked = not self.plain and isinstance(extract, conv4.FastConv4) and extract.wants_blocks(len(drawn), size)
        if self.made is None and blocked:
            self.made = conv4.new_blocks(len(drawn), size)
        self.made = views.make(batch.images, drawn, size, self.mean, self.std, out=self.made)
        return self.made

    def __call__(self, epoch: int, numbers: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        """Learn from images (M,) of the data set, by number; return the loss and what the task logs beside it."""
        batch = self.batch(epoch, numbers)
        features = self.extract(self.task.inputs(self.views(batch), batch))
        loss, metrics = self.task.loss(features, batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), metrics


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at a share `progress` (0 to 1) of all steps: constant, then linear to 0."""
    if progress <= recipe.decay_start:
        return recipe.learning_rate
    return recipe.learning_rate * (1 - progress) / (1 - recipe.decay_start)


@memory.kept()
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
    steps = len(dataset) // recipe.batch_size  # the rest waits for another epoch's order
    if steps < 1:
        raise errors.ArgumentError(f"{len(dataset)} images are less than one batch of {recipe.batch_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = backbones.create(recipe.backbone)
        task = pretext.create(recipe, backbone, dataset)
    take_step = Step(task, dataset)
    first_epoch, seconds_before = _start(run, take_step, resume)

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
        for step in range(steps):
            # not sorted: neighbours in the batch make pairs
            numbers = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            take_step.optimizer.learning_rate = learning_rate(recipe, (epoch + step / steps) / recipe.epochs)
            step_started = time.perf_counter()
            loss, metrics = take_step(epoch, numbers)
            if (epoch, step) == (first_epoch, 0):  # most of it is compiling, or loading what was compiled
                log(run, event="first_step", seconds=round(time.perf_counter() - step_started, 2))
            for name, value in {"loss": loss, **metrics}.items():
                totals[name] = totals.get(name, 0.0) + value.item()
            if not math.isfinite(totals["loss"]):
                raise errors.TrainingError(
                    f"the loss is {loss.item()} at epoch {epoch + 1}, step {step + 1}: lower the learning rate "
                    f"(it is {recipe.learning_rate}) and start anew"
                )
            mean = totals["loss"] / (step + 1)
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
        _save_checkpoint(run, take_step, epoch + 1, seconds)
    bar.close()
    task.eval()
    seconds = seconds_before + time.perf_counter() - started
    views_seen = epochs_done * steps * recipe.batch_size * recipe.views
    return Pretrained(backbone, task.relation_head, len(dataset), epochs_done, views_seen, seconds / 60)


def log(run: Path, **record: object) -> None:
    """Append one line of JSON to the log of a run."""
    with (run / LOG).open("a") as file:
        file.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **record}) + "\n")


def machine() -> str:
    """Say what this machine is, for logs and cards."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, no GPU used"


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def _start(run: Path, step: Step, resume: bool) -> tuple[int, float]:
    """Begin or resume a run; return how many epochs are done and the seconds they took."""
    recipe, dataset = step.task.recipe, step.dataset
    checkpoint = run / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise errors.TrainingError(
            f"{run} holds an unfinished run: go on with --resume, or delete the folder to start anew"
        )
    if resume and not checkpoint.exists():
        raise errors.TrainingError(f"{run} holds no checkpoint to resume: start without --resume")
    run.mkdir(parents=True, exist_ok=True)
    epochs_done, seconds = 0, 0.0
    if resume:
        epochs_done, seconds = _load_checkpoint(run, step)
    log(
        run,
        event="resume" if resume else "start",
        epochs_done=epochs_done,
        recipe=dataclasses.asdict(recipe),
        data=dataset.description,
        images=len(dataset),
        machine=machine(),
        threads=torch.get_num_threads(),
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"),
        versions=versions(),
    )
    return epochs_done, seconds


def _save_checkpoint(run: Path, step: Step, epochs_done: int, seconds: float) -> None:
    task = step.task
    tensors = {f"learner.{name}": value for name, value in task.state_dict().items()}
    names = [name for name, _ in task.named_parameters()]
    tensors |= {f"optimizer.{name}": value for name, value in step.optimizer.state(names).items()}
    metadata = {
        "recipe": json.dumps(dataclasses.asdict(task.recipe)),
        "epochs_done": str(epochs_done),
        "seconds": str(seconds),
    }
    unfinished = run / f".{CHECKPOINT}.{os.getpid()}"
    save_file(tensors, unfinished, metadata)
    unfinished.replace(run / CHECKPOINT)


def _load_checkpoint(run: Path, step: Step) -> tuple[int, float]:
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
        task.load_state_dict(_of("learner.", tensors))
        step.optimizer.load_state(names, _of("optimizer.", tensors))
        return int(metadata["epochs_done"]), float(metadata["seconds"])
    except (KeyError, RuntimeError, ValueError) as problem:
        raise errors.TrainingError(
            f"{run / CHECKPOINT} is not of this version of rrzoo ({problem}): delete {run} to start anew"
        ) from None


def _of(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
