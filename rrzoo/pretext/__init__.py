"""Pretext tasks: what a backbone can learn from images, one file each, behind the protocol of `rrzoo.pretext.task`."""

from rrzoo.backbones import Backbone
from rrzoo.datasets import Dataset
from rrzoo.pretext.random import Random
from rrzoo.pretext.relation import Relation
from rrzoo.pretext.rotation import Rotation
from rrzoo.pretext.simclr import SimCLR
from rrzoo.pretext.supervised import Supervised
from rrzoo.pretext.task import Batch, Pretext
from rrzoo.recipes import Recipe

__all__ = ["TASKS", "Batch", "Pretext", "create"]

TASKS: dict[str, type[Pretext]] = {
    "relation": Relation,
    "simclr": SimCLR,
    "rotation": Rotation,
    "supervised": Supervised,
    "random": Random,
}


def create(recipe: Recipe, backbone: Backbone, dataset: Dataset) -> Pretext:
    """Return the recipe's pretext task, around a backbone; its own layers have random weights.

    Raises:
        errors.ArgumentError: the recipe's number of views is not for this task.
        errors.DatasetError: the task needs labels that are not there.
    """
    return TASKS[recipe.pretext](recipe, backbone, dataset)
