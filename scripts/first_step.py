"""One training step on the images that ship with the package, Conv4, 32 px, K=16: what a start takes.

`python first_step.py rrzoo` or `python first_step.py reference`; `bench.py` times the process. Neither loads what only
the other needs.
"""

import threads  # noqa: F401  # isort: skip  # before torch loads

import sys

import numpy as np

from rrzoo import backbones, datasets
from rrzoo.images import to_square

VIEWS, BATCH, IMAGES = 16, 64, 512

figures = datasets.load("clay10", "test")
images = to_square(figures.images[:IMAGES], 32)
backbone = backbones.create("conv4")
if sys.argv[1] == "reference":
    import reference

    transform = reference.view_transform(32, figures.mean, figures.std)
    loader = reference.batches(reference.MultiView(images, VIEWS, transform), BATCH)
    reference.RelationalReasoning(backbone, backbone.feature_size).step(next(loader))
    loader.close()
else:
    from dataclasses import replace

    from rrzoo import pretext, train
    from rrzoo.adam import Adam
    from rrzoo.recipes import Recipe

    recipe = Recipe("conv4", "clay10", 32, views=VIEWS, batch_size=BATCH, loss="bce")
    few = replace(figures, images=images)
    task = pretext.create(recipe, backbone, few)
    train.Step(task, few, Adam(task.parameters(), recipe.learning_rate))(0, np.arange(BATCH))
