"""One step of pre-training."""

import numpy as np
import torch
from torch import Tensor

from rrzoo import views
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
from rrzoo.kernels.bfloat16 import Bfloat16Conv4
from rrzoo.optimisers import OPTIMISERS
from rrzoo.pretext import Batch, Pretext


class TrainStep:
    """One step of training: images, views, loss, descent."""

    def __init__(self, task: Pretext, dataset: Dataset, fast: bool = True) -> None:
        """Keep what every step needs; the task's recipe gives seed, optimizer and learning rate.

        Args:
            task: to be trained.
            dataset: its images.
            fast: features come from `conv4.fast`, which takes up to a minute to compile once; else from the backbone.
        """
        self.task, self.dataset = task, dataset
        if fast and not task.uses_feature_maps:
            task.extract = conv4.fast(task.backbone)
        self.optimizer = OPTIMISERS[task.recipe.optimizer](task.parameters(), task.recipe.learning_rate)
        self.labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
        self.mean, self.std = torch.tensor(dataset.mean), torch.tensor(dataset.std)
        self.view_buffer: Tensor | None = None  # memory of the views, used again in every step

    @property
    def arithmetic(self) -> str:
        """Name the numbers that the backbone computes with here, float32 or bfloat16."""
        return "bfloat16" if isinstance(self.task.extract, Bfloat16Conv4) else "float32"

    def batch(self, epoch: int, indices: np.ndarray) -> Batch:
        """Return images (M,) of the data set by their indices."""
        pixels = torch.from_numpy(self.dataset.images[indices]).permute(0, 3, 1, 2)  # (M, 3, H, W)
        labels = None if self.labels is None else self.labels[torch.from_numpy(indices)]
        return Batch(pixels, indices, labels, self.task.recipe.seed, epoch)

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

    def __call__(self, epoch: int, indices: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        """Learn from images (M,) of the data set; return the loss and what the task logs beside it, without graphs."""
        batch = self.batch(epoch, indices)
        loss, metrics = self.task(self.views(batch), batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), {name: value.detach() for name, value in metrics.items()}


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at a share `progress` (0 to 1) of all steps: constant, then linear to 0."""
    if progress <= recipe.decay_start:
        return recipe.learning_rate
    return recipe.learning_rate * (1 - progress) / (1 - recipe.decay_start)
