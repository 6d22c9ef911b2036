"""K random views of each image: what relational reasoning learns from.

The augmentations are the paper's (arXiv 2006.05849, appendix A; torchvision's names): RandomResizedCrop with scale
0.08 to 1 and ratio 3/4 to 4/3, flip with p = 0.5, ColorJitter(0.8, 0.8, 0.8, 0.2) in random order with p = 0.8,
grayscale with p = 0.2, normalisation.

Drawing and making are apart. `draw` derives every random number from (seed, epoch, image, view) by a counter-based
generator, so a view is the same whatever the batch, the device or the number of workers. `apply` is plain arithmetic
on whole batches and runs wherever its tensors live. `make` gives the same views, on the CPU many times faster.
"""

from rrzoo.views.drawing import FLIP_PROBABILITY, ORDERS, UNUSED, ViewParameters, crops, draw, uniform
from rrzoo.views.making import apply, make

__all__ = ["FLIP_PROBABILITY", "ORDERS", "UNUSED", "ViewParameters", "apply", "crops", "draw", "make", "uniform"]
