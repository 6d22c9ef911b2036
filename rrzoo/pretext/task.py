"""What a pretext task is: from a batch of images to views, to what the backbone sees, to a loss.

    batch -> draw -> (views are made) -> inputs -> (backbone) -> loss

`rrzoo.train` does what is in brackets, the same for every task. Everything random in a task comes from `draw`'s
generator or `Batch.uniform`, so that it depends on (seed, epoch, image, view) alone and a run can be resumed.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from rrzoo import errors, views
from rrzoo.backbones import SMALLEST_INPUT, Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.relation import RelationHead


@dataclass(frozen=True)
class Batch:
    """M images of one step."""

    images: Tensor  # uint8 (M, 3, H, W)
    numbers: np.ndarray  # int64 (M,), of the images within the data set
    labels: Tensor | None  # int64 (M,), where the data set has any
    seed: int  # of the run
    epoch: int  # from 0

    def __len__(self) -> int:
        """Return M."""
        return len(self.numbers)

    def uniform(self, count: int, per_image: int = 1) -> np.ndarray:
        """Return random numbers in [0, 1) that depend on seed, epoch and image alone; `views.draw` uses others.

        Args:
            count: random numbers that each view needs.
            per_image: K, views of each image.

        Returns:
            float64 (count, K * M), in the order of views.
        """
        return views.uniform(self.seed, self.epoch, self.numbers, per_image, count)


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
    """

    least_views = 1  # K, the fewest views of an image that the task can use
    why_least_views = "an image has to be seen"
    uses_feature_maps = False  # whether `loss` takes feature maps (K * M, D, h, w) instead of features (K * M, D)

    def __init__(self, recipe: Recipe, backbone: Backbone, dataset: Dataset) -> None:
        """Keep backbone and recipe. A task draws the random weights of its own layers here, after this.

        Args:
            recipe: seed, K, M, image size.
            backbone: to be trained.
            dataset: to be trained on; not kept.

        Raises:
            errors.ArgumentError: the recipe's K is not for this task.
            errors.DatasetError: the task needs labels that are not there.
        """
        super().__init__()
        self.recipe = recipe
        self.backbone = backbone
        self.size = recipe.image_size  # px, side of the views that are made
        self.relation_head: RelationHead | None = None  # of the task that trains one: it stays with the model

    def start_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Do what an epoch begins with; it must depend on seed, epoch and the present weights alone."""

    def draw(self, batch: Batch) -> views.ViewParameters:
        """Say which views of the batch's images are made: by default K random ones, the relational paper's."""
        height, width = batch.images.shape[2:]
        return views.draw(batch.seed, batch.epoch, batch.numbers, self.recipe.views, height, width)

    def inputs(self, made: Tensor, batch: Batch) -> Tensor:
        """Turn views into what the backbone sees: by default the views themselves.

        Without an override, views may be made in the layout that Conv4's loops read. `loss` comes next: what it needs
        of the views, such as their colours, can be kept on `self` until then.

        Args:
            made: float32 (N, 3, S, S), normalised, S = `size`; its memory is used again in the next step.
            batch: the batch they were made of.

        Returns:
            float32 (K * M, 3, s, s).
        """
        return made

    def loss(self, features: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and what the log shows beside it: scalars by name, averaged over an epoch.

        Args:
            features: float32 (K * M, D), or maps, see `uses_feature_maps`.
            batch: the batch they were made of.
        """
        raise NotImplementedError
