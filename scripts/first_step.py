"""One training step on images of noise, Conv4, 32 px, K=16: what a start takes, reading a data set apart.

`python first_step.py rrzoo` or `python first_step.py reference`; `bench.py` times the process. Neither loads what only
the other needs.
"""

import startup  # noqa: F401  # isort: skip  # before torch loads

import sys

import numpy as np

from rrzoo import backbones

VIEWS, BATCH, IMAGES = 16, 64, 512
MEAN = STD = (0.5, 0.5, 0.5)

images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
backbone = backbones.create("conv4")
if sys.argv[1] == "reference":
    import reference

    transform = reference.view_transform(32, MEAN, STD)
    loader = reference.batches(reference.MultiView(images, VIEWS, transform), BATCH)
    reference.RelationalReasoning(backbone, backbone.feature_size).step(next(loader))
    loader.close()
else:
    from rrzoo import pretext, training
    from rrzoo.config import Recipe
    from rrzoo.datasets import Dataset

    recipe = Recipe("conv4", "noise", 32, views=VIEWS, batch_size=BATCH, loss="bce")
    noise = Dataset("noise", "train", images, None, ("noise",), MEAN, STD, "chosen", "noise", "none")
    task = pretext.create(recipe, backbone, noise)
    training.TrainStep(task, noise)(0, np.arange(BATCH))
