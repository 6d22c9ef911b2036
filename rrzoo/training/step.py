"""One step of pre-training, on any device and by any number of ranks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rrzoo import devices, ranks, views
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.kernels import conv4
from rrzoo.kernels.bfloat16 import Bfloat16Conv4
from rrzoo.optimisers import OPTIMISERS
from rrzoo.pretext import Batch, Pretext
from rrzoo.training.batch_norm import synchronise
from rrzoo.training.pixels import Pixels


class TrainStep:
    """One step of training: images, views, loss, descent."""

    def __init__(self, task: Pretext, dataset: Dataset, fast: bool = True, device: Device = devices.CPU) -> None:
        """Keep what every step needs; the task's recipe gives seed, optimizer and learning rate.

        Args:
            task: to be trained; it is moved to the device.
            dataset: its images.
            fast: features come from `conv4.fast` on one CPU, which takes up to a minute to compile once, elsewhere from
                the backbone in channels last, and in bfloat16 if the device says so; else from the backbone as it is.
            device: that computes.

        Raises:
            errors.ArgumentError: several ranks can't share the backbone's BatchNorm.
        """
        self.task, self.dataset, self.device = task.to(device.where), dataset, device
        synchronise(task.backbone)
        if fast:
            task.extract = self._fast_extract()
        self.optimizer = OPTIMISERS[task.recipe.optimizer](task.parameters(), task.recipe.learning_rate)
        self.pixels = Pixels(dataset.images, device)
        self.labels = None if dataset.labels is None else torch.from_numpy(dataset.labels).to(device.where)
        self.mean, self.std = (torch.tensor(one, device=device.where) for one in (dataset.mean, dataset.std))
        self.view_buffer: Tensor | None = None  # memory of the views, used again in every step

    def _fast_extract(self) -> Callable[[Tensor], Tensor]:
        """Return the fastest equal of the task's `extract`."""
        task = self.task
        # the loops of `conv4.fast` know nothing of other ranks' statistics
        if not self.device.is_cpu or self.device.bfloat16 or ranks.this().count > 1:
            task.backbone.to(memory_format=torch.channels_last)
            return ChannelsLast(task.extract, self.device)
        return task.extract if task.uses_feature_maps else conv4.fast(task.backbone)

    @property
    def arithmetic(self) -> str:
        """Name the numbers that the backbone computes with here, float32 or bfloat16."""
        extract = self.task.extract
        rounded = isinstance(extract, Bfloat16Conv4) or (isinstance(extract, ChannelsLast) and extract.bfloat16)
        return "bfloat16" if rounded else "float32"

    def batch(self, epoch: int, indices: np.ndarray) -> Batch:
        """Return images (M,) of the data set by their indices."""
        labels = None
        if self.labels is not None:
            labels = self.labels[torch.from_numpy(indices).to(self.device.where, non_blocking=True)]
        return Batch(self.pixels(indices), indices, labels, self.task.recipe.seed, epoch)

    def views(self, batch: Batch) -> Tensor:
        """Return the views of a batch in the layout that the task takes fastest; valid until the next call.

        Returns:
            float32 (N, 3, S, S), or blocked, see `conv4.block`.
        """
        drawn, size = self.task.draw(batch), self.task.view_size
        extract = self.task.extract
        blocked = (
            not self.task.needs_plain_layout
            and isinstance(extract, conv4.FastConv4)
            and extract.wants_blocks(len(drawn), size)
        )
        if self.view_buffer is None and blocked:
            self.view_buffer = conv4.new_blocks(len(drawn), size)
        self.view_buffer = views.make(batch.images, drawn, size, self.mean, self.std, out=self.view_buffer)
        return self.view_buffer

    def __call__(
        self, epoch: int, indices: np.ndarray, following: np.ndarray | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Learn from images (M,) of the data set; return the loss and what the task logs beside it, without graphs.

        All ranks are given the same images, and return the same. `following` are those of the next step, if known.
        """
        batch = self.batch(epoch, indices)
        if following is not None:
            self.pixels.prepare(following)
        first = self.view_buffer is None
        made = self.views(batch.own())
        if first:  # compilers may have taken their time
            ranks.wait_for_all()
        loss, metrics = self.task(made, batch)
        loss.backward()
        ranks.average([parameter.grad for parameter in self.task.parameters() if parameter.grad is not None])
        self.optimizer.step()
        return loss.detach(), {name: value.detach() for name, value in metrics.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return all that a resumed run needs: of the task, and of the optimizer."""
        return self.task.state_dict(), self.optimizer.state([name for name, _ in self.task.named_parameters()])

    def load_state(self, task: dict[str, Tensor], optimizer: dict[str, Tensor]) -> None:
        """Go on from what `state` returned.

        Raises:
            KeyError, RuntimeError: it is another task's.
        """
        self.task.load_state_dict(task)
        self.optimizer.load_state([name for name, _ in self.task.named_parameters()], optimizer)

    def copy_from_first(self) -> None:
        """Take over all that the first rank has learnt."""
        if ranks.this().count == 1:
            return
        task, optimizer = self.state()
        optimizer = {name: tensor.to(self.device.where) for name, tensor in optimizer.items()}
        ranks.copy_from_first([*task.values(), *optimizer.values()])
        self.load_state(task, optimizer)


class ChannelsLast:
    """Calls a backbone on views in channels last, in bfloat16 where the device computes so; returns float32."""

    def __init__(self, extract: Callable[[Tensor], Tensor], device: Device) -> None:
        self.extract, self.kind, self.bfloat16 = extract, device.where.type, device.bfloat16

    def __call__(self, views: Tensor) -> Tensor:
        """Return what `extract` does, of views (N, 3, S, S)."""
        views = views.contiguous(memory_format=torch.channels_last)
        if not self.bfloat16:
            return self.extract(views)
        with torch.autocast(self.kind, torch.bfloat16):
            features = self.extract(views)
        return features.float()


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at a share `progress` (0 to 1) of all steps: constant, then linear to 0."""
    if progress <= recipe.decay_start:
        return recipe.learning_rate
    return recipe.learning_rate * (1 - progress) / (1 - recipe.decay_start)
