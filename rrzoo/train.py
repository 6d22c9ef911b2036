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
from torch import Tensor, nn
from tqdm import tqdm

from rrzoo import backbones, errors, relation, views
from rrzoo.adam import Adam
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
from rrzoo.recipes import Recipe, from_dict

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Pretrained:
    """What pre-training leaves behind."""

    backbone: backbones.Backbone
    relation_head: relation.RelationHead
    images: int  # different ones
    views_seen: int
    minutes: float


class Step:
    """One step of training: images, views, features, scores, loss, descent."""

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        backbone: backbones.Backbone,
        head: relation.RelationHead,
        optimizer: Adam,
    ) -> None:
        """Keep what every step needs; the recipe gives seed, views, image size and loss."""
        self.recipe, self.dataset = recipe, dataset
        self.extract, self.head, self.optimizer = conv4.fast(backbone), head, optimizer
        self.loss = relation.LOSSES[recipe.loss]
        self.mean, self.std = torch.tensor(dataset.mean), torch.tensor(dataset.std)
        self.inputs: Tensor | None = None  # of the last step: its memory is used again

    def views(self, epoch: int, batch: np.ndarray) -> Tensor:
        """Return the views of images (M,) of the data set as `extract` takes them fastest, valid until the next call.

        Returns:
            float32 (K * M, 3, S, S), or blocked, see `conv4.block`.
        """
        images = self.dataset.images[batch]  # (M, H, W, 3)
        drawn = views.draw(self.recipe.seed, epoch, batch, self.recipe.views, *images.shape[1:3])
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        size, statistics = self.recipe.image_size, (self.mean, self.std)
        extract = self.extract
        if self.inputs is None and isinstance(extract, conv4.FastConv4) and extract.wants_blocks(len(drawn), size):
            self.inputs = conv4.new_blocks(len(drawn), size)
        self.inputs = views.make(pixels, drawn, size, *statistics, out=self.inputs)
        return self.inputs

    def __call__(self, epoch: int, batch: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Learn from images (M,) of the data set; return the loss and the logits of positive and negative pairs."""
        positive, negative = self.head.score_views(self.extract(self.views(epoch, batch)), self.recipe.views)
        loss = self.loss(positive, negative)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), positive.detach(), negative.detach()


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at a share `progress` (0 to 1) of all steps: constant, then linear to 0."""
    if progress <= recipe.decay_start:
        return recipe.learning_rate
    return recipe.learning_rate * (1 - progress) / (1 - recipe.decay_start)


def pretrain(recipe: Recipe, dataset: Dataset, run: Path, resume: bool = False) -> Pretrained:
    """Train backbone and relation head on images without labels.

    Each step takes M images, makes K views of each, scores every pair of views and follows the loss with Adam. A
    checkpoint is written into `run` after every epoch. A resumed run ends with the same weights as an uninterrupted
    one: order, views and learning rate depend on (seed, epoch, step) alone.

    Args:
        recipe: of the model.
        dataset: its images; labels are not looked at.
        run: folder for checkpoint and log; made if it is not there.
        resume: go on from the checkpoint in `run`.

    Raises:
        errors.ArgumentError: fewer images than one batch.
        errors.TrainingError: a run is there and `resume` is not set, or the reverse; it was started with another
            recipe; the loss is not finite.
    """
    steps = len(dataset) // recipe.batch_size  # the rest waits for another epoch's order
    if steps < 1:
        raise errors.ArgumentError(f"{len(dataset)} images are less than one batch of {recipe.batch_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = backbones.create(recipe.backbone)
        head = relation.RelationHead(backbone.feature_size, recipe.aggregation)
    learner = nn.ModuleDict({"backbone": backbone, "relation_head": head})
    optimizer = Adam(learner.parameters(), recipe.learning_rate)
    first_epoch, seconds_before = _start(run, recipe, dataset, learner, optimizer, resume)
    take_step = Step(recipe, dataset, backbone, head, optimizer)

    started = time.perf_counter()
    bar = tqdm(
        total=recipe.epochs * steps * recipe.batch_size,
        initial=first_epoch * steps * recipe.batch_size,
        unit=" images",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.5,
    )
    learner.train()
    for epoch in range(first_epoch, recipe.epochs):
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(dataset))
        epoch_started = time.perf_counter()
        totals = np.zeros(3)  # loss, accuracy on positive pairs, on negative pairs
        for step in range(steps):
            batch = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]  # unsorted: neighbours make pairs
            optimizer.learning_rate = learning_rate(recipe, (epoch + step / steps) / recipe.epochs)
            step_started = time.perf_counter()
            loss, positive, negative = take_step(epoch, batch)
            if (epoch, step) == (first_epoch, 0):  # most of it is compiling, or loading what was compiled
                log(run, event="first_step", seconds=round(time.perf_counter() - step_started, 2))
            totals += _measure(loss, positive, negative)
            if not math.isfinite(totals[0]):
                raise errors.TrainingError(
                    f"the loss is {loss.item()} at epoch {epoch + 1}, step {step + 1}: lower the learning rate "
                    f"(it is {recipe.learning_rate}) and start anew"
                )
            bar.set_postfix_str(f"epoch {epoch + 1}/{recipe.epochs}, loss {totals[0] / (step + 1):.4f}", refresh=False)
            bar.update(recipe.batch_size)

        now = time.perf_counter()
        seconds = seconds_before + now - started
        images_per_second = steps * recipe.batch_size / (now - epoch_started)
        loss_mean, accuracy_positive, accuracy_negative = totals / steps
        log(
            run,
            event="epoch",
            epoch=epoch + 1,
            loss=round(loss_mean, 6),
            accuracy_positive=round(accuracy_positive, 4),
            accuracy_negative=round(accuracy_negative, 4),
            images_per_second=round(images_per_second, 1),
            views_per_second=round(images_per_second * recipe.views, 1),
            seconds=round(seconds, 1),
        )
        _save_checkpoint(run, recipe, learner, optimizer, epoch + 1, seconds)
    bar.close()
    learner.eval()
    seconds = seconds_before + time.perf_counter() - started
    views_seen = recipe.epochs * steps * recipe.batch_size * recipe.views
    return Pretrained(backbone, head, len(dataset), views_seen, seconds / 60)


def _measure(loss: Tensor, positive: Tensor, negative: Tensor) -> list[float]:
    return [loss.item(), (positive > 0).float().mean().item(), (negative < 0).float().mean().item()]


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


def _start(
    run: Path, recipe: Recipe, dataset: Dataset, learner: nn.Module, optimizer: Adam, resume: bool
) -> tuple[int, float]:
    """Begin or resume a run; return how many epochs are done and the seconds they took."""
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
        epochs_done, seconds = _load_checkpoint(run, recipe, learner, optimizer)
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


def _save_checkpoint(
    run: Path,
    recipe: Recipe,
    learner: nn.Module,
    optimizer: Adam,
    epochs_done: int,
    seconds: float,
) -> None:
    tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
    names = [name for name, _ in learner.named_parameters()]
    tensors |= {f"adam.{name}": value for name, value in optimizer.state(names).items()}
    metadata = {
        "recipe": json.dumps(dataclasses.asdict(recipe)),
        "epochs_done": str(epochs_done),
        "seconds": str(seconds),
    }
    unfinished = run / f".{CHECKPOINT}.{os.getpid()}"
    save_file(tensors, unfinished, metadata)
    unfinished.replace(run / CHECKPOINT)


def _load_checkpoint(run: Path, recipe: Recipe, learner: nn.Module, optimizer: Adam) -> tuple[int, float]:
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
    names = [name for name, _ in learner.named_parameters()]
    try:
        learner.load_state_dict({n.removeprefix("learner."): t for n, t in tensors.items() if n.startswith("learner.")})
        optimizer.load_state(names, {n.removeprefix("adam."): t for n, t in tensors.items() if n.startswith("adam.")})
        return int(metadata["epochs_done"]), float(metadata["seconds"])
    except (KeyError, RuntimeError, ValueError) as problem:
        raise errors.TrainingError(
            f"{run / CHECKPOINT} is not of this version of rrzoo ({problem}): delete {run} to start anew"
        ) from None
