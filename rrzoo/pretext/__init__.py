"""Pretext tasks: what a backbone can learn from images, one file each, behind the protocol of `rrzoo.pretext.task`."""

from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext.colorization import Colorization
from rrzoo.pretext.counting import Counting
from rrzoo.pretext.deep_infomax import DeepInfoMax
from rrzoo.pretext.deepcluster import DeepCluster
from rrzoo.pretext.jigsaw import Jigsaw
from rrzoo.pretext.relation import Relation
from rrzoo.pretext.relative_position import RelativePosition
from rrzoo.pretext.rotation import Rotation
from rrzoo.pretext.simclr import SimCLR
from rrzoo.pretext.supervised import Supervised
from rrzoo.pretext.task import Batch, Pretext
from rrzoo.pretext.untrained import Random

__all__ = ["TASKS", "Batch", "Pretext", "create"]

TASKS: dict[str, type[Pretext]] = {
    "relation": Relation,
    "simclr": SimCLR,
    "rotation": Rotation,
    "relpos": RelativePosition,
    "jigsaw": Jigsaw,
    "colorization": Colorization,
    "counting": Counting,
    "deepcluster": DeepCluster,
    "dim": DeepInfoMax,
    "supervised": Supervised,
    "random": Random,
}


def create(recipe: Recipe, backbone: Backbone, dataset: Dataset) -> Pretext:
    """Return the recipe's pretext task, around a backbone; its own layers have random weights.

    Raises:
        errors.ArgumentError: the recipe's number of views, or an option, is not for this task.
        errors.DatasetError: the task needs labels that are not there.
    """
    return TASKS[recipe.pretext](recipe, backbone, dataset)
