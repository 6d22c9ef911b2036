"""One step of pre-training."""

import numpy as np
import torch
from torch import Tensor

from rrzoo import views
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
from rrzoo.optimisers import OPTIMISERS
from rrzoo.pretext import Batch, Pretext


class TrainStep:
    """One step of training: images, views, features, loss, descent."""

    def __init__(self, task: Pretext, dataset: Dataset) -> None:
        """Keep what every step needs; the task's recipe gives seed, optimizer and learning rate."""
        self.task, self.dataset = task, dataset
        self.optimizer = OPTIMISERS[task.recipe.optimizer](task.parameters(), task.recipe.learning_rate)
        self.extract = task.backbone.feature_map if task.uses_feature_maps else conv4.fast(task.backbone)
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
