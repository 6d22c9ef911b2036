"""What a pretext task is: a module that turns the views of a batch of images into a loss.

    batch -> draw -> (views are made) -> task(views, batch): transform_views -> extract -> loss

The training step does what is in brackets, the same for every task. Everything random in a task comes from `draw`'s
generator or `Batch.uniform`, so that it depends on (seed, epoch, image, view) alone and a run can be resumed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from rrzoo import errors, ranks, views
from rrzoo.backbones import SMALLEST_INPUT, Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.relation import RelationHead


@dataclass(frozen=True)
class Batch:
    """M images of one step."""

    images: Tensor  # uint8 (M, 3, H, W)
    indices: np.ndarray  # int64 (M,), of the images within the data set
    labels: Tensor | None  # int64 (M,), where the data set has any
    seed: int  # of the run
    epoch: int  # from 0

    def __len__(self) -> int:
        """Return M."""
        return len(self.indices)

    def own(self) -> "Batch":
        """Return this rank's share of the images: all of them, where there is one rank.

        Raises:
            errors.ArgumentError: the ranks don't divide the batch.
        """
        rows = ranks.share(len(self))
        if rows == slice(0, len(self)):
            return self
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, images=self.images[rows], indices=self.indices[rows], labels=labels)

    def uniform(self, count: int, per_image: int = 1) -> np.ndarray:
        """Return random numbers in [0, 1) that depend on seed, epoch and image alone; `views.draw` uses others.

        Args:
            count: random numbers that each view needs.
            per_image: K, views of each image.

        Returns:
            float64 (count, K * M), in the order of views.
        """
        return views.uniform(self.seed, self.epoch, self.indices, per_image, count)


def half_size(recipe: Recipe) -> int:
    """Return the side of pictures that show a part of an image, px: half of an image's.

    Raises:
        errors.ArgumentError: the backbones, which halve three times, could not take them.
    """
    if recipe.image_size < 2 * SMALLEST_INPUT:
        raise errors.ArgumentError(
            f"image_size is {recipe.image_size}: {recipe.pretext} needs at least {2 * SMALLEST_INPUT}, since its "
            f"pictures are half as large, and the backbones need {SMALLEST_INPUT} px"
        )
    return recipe.image_size // 2


class Pretext(nn.Module):
    """A backbone and what a pretext task adds to it: all that learns. A task overrides what it does otherwise.

    K, `recipe.views`, counts for every task the pictures of one image that go through the backbone in a step, be they
    whole views, patches or turned copies. They come in the order of `views.ViewParameters`: the first of all M images,
    then the second of all M, ...

    Constant tensors are buffers that are not persistent, and what a batch brings goes to the device of the features:
    a task runs on whatever device it was moved to.
    """

    least_views: ClassVar[int] = 1  # K, the fewest views of an image that the task can use
    why_least_views: ClassVar[str] = "an image has to be seen"
    default_options: ClassVar[Mapping[str, float]] = {}  # of the task, all above 0; a recipe may change them
    uses_feature_maps: ClassVar[bool] = False  # `loss` takes feature maps (K * M, D, h, w), not features (K * M, D)
    needs_plain_layout: ClassVar[bool] = False  # `transform_views` takes (N, 3, S, S) only, not blocked views

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Keep backbone and recipe. A task draws the random weights of its own layers here, after this.

        Args:
            recipe: seed, K, M, image size, options of the task.
            backbone: to be trained.
            dataset: to be trained on; not kept.

        Raises:
            errors.ArgumentError: the recipe's K or options are not for this task.
            errors.DatasetError: the task needs labels that are not there.
        """
        super().__init__()
        self.recipe = recipe
        self.options = self.read_options(recipe)
        self.backbone = backbone
        # from what `transform_views` returns to what `loss` takes; the training step may put in a faster equal
        self.extract: Callable[[Tensor], Tensor] = (
            backbone.feature_map if self.uses_feature_maps else backbone.__call__  # the module itself would be a child
        )
        self.view_size = recipe.image_size  # px, side of the views that are made
        self.relation_head: RelationHead | None = None  # of the task that trains one: it stays with the model

    @classmethod
    def read_options(cls, recipe: Recipe) -> dict[str, float]:
        """Return the task's options: the recipe's, and the defaults of those that it does not name.

        Raises:
            errors.ArgumentError: the task has no option of that name, or its value is not a positive number.
        """
        chosen = recipe.options or {}
        for name, value in chosen.items():
            if name not in cls.default_options:
                raise errors.ArgumentError(
                    f"{recipe.pretext} has no option {name!r}: {errors.choices(name, cls.default_options)}"
                )
            if not (math.isfinite(value) and value > 0):
                raise errors.ArgumentError(f"{name} of {recipe.pretext} is {value}: it must be a positive number")
        return {**cls.default_options, **chosen}

    def start_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Do what an epoch begins with; it must depend on seed, epoch and the present weights alone."""

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Say which views of the batch's images are made: by default K random ones, the relational paper's."""
        height, width = batch.images.shape[2:]
        return views.draw(batch.seed, batch.epoch, batch.indices, self.recipe.views, height, width)

    def forward(self, views: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and what the log shows beside it: scalars by name, averaged over an epoch.

        Args:
            views: float32 (N, 3, S, S), S = `view_size`, normalised, as `draw` says of the rank's own images; without
                `needs_plain_layout` perhaps blocked, see `kernels.conv4.block`.
            batch: the whole batch; every rank computes the loss of all of it.
        """
        own = batch.own()
        features = self.extract(self.transform_views(views, own))
        return self.loss(ranks.gather_images(features, len(own)), batch)

    def transform_views(self, views: Tensor, batch: Batch) -> Tensor:
        """Turn views into what the backbone sees: by default the views themselves.

        Args:
            views: see `forward`; their memory is used again in the next step.
            batch: the images that they were made of: the rank's own.

        Returns:
            float32 (K * M, 3, s, s).
        """
        return views

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `forward` does.

        Args:
            features: float32 (K * M, D), or maps, see `uses_feature_maps`; on every rank those of the whole batch.
            batch: the whole batch.
        """
        raise NotImplementedError
