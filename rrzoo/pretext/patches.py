"""Nine patches of each image on a grid of 3 x 3, for the tasks that ask where a patch belongs."""

import numpy as np

from rrzoo import errors, views
from rrzoo.config import Recipe
from rrzoo.pretext.task import Batch

SIDE = 3
PATCHES = SIDE * SIDE
JITTER = 24  # a patch is moved by up to 1 / JITTER of the side of its region
SMALLEST = 0.5  # side of the region that the grid covers, as a share of the image's
UNUSED = 5  # the first of `Batch.uniform`'s numbers that `draw` has no use for


def check(recipe: Recipe) -> None:
    """Raise `errors.ArgumentError` if the recipe does not ask for nine views."""
    if recipe.views != PATCHES:
        raise errors.ArgumentError(f"views is {recipe.views}: {recipe.pretext} needs {PATCHES}, one for each patch")


def draw(batch: Batch, grey: np.ndarray | None = None) -> views.ViewParameters:
    """Draw nine patches of each image, row by row: patch p of image m is view p * M + m.

    They cover a random region, half of the image to all of it high and wide: each is a quarter of the region's side,
    in the middle of its ninth but for a random offset in each direction. Where the region is 32 px, patches are 8 px,
    3 px apart, moved by up to 1 px; where it is 96 px, 24 px, 8 px apart, moved by up to 4 px. Without gaps and
    offsets, lines that run on from patch to patch would give the answer away; so would JPEG's blocks of 8 px, if
    patches of small images always lay alike on them.

    Args:
        batch: M images.
        grey: bool (M,), which images lose their colours; default none.

    Returns:
        9 * M crops.
    """
    cells = np.divmod(np.arange(PATCHES)[:, np.newaxis], SIDE)  # row and column of each patch
    jitter = batch.uniform(2, PATCHES).reshape(2, PATCHES, len(batch))
    scale, *positions = batch.uniform(UNUSED)[2:]
    boxes = []
    for cell, length, position, moved in zip(cells, batch.images.shape[2:], positions, jitter, strict=True):
        least = round(SMALLEST * length)
        region = least + (scale * (length - least + 1)).astype(np.int64)  # (M,), px
        first = (position * (length - region + 1)).astype(np.int64)
        patch, slack = region // 4, region // JITTER
        middle = ((2 * cell + 1) * region - SIDE * patch) // (2 * SIDE)  # (9, M)
        start = (middle - slack + (moved * (2 * slack + 1)).astype(np.int64)).clip(0, region - patch)
        boxes.append(((first + start).ravel(), np.tile(patch, PATCHES)))
    (top, height), (left, width) = boxes
    plain = np.zeros(len(top), bool)
    return views.crops(top, left, height, width, plain, plain if grey is None else np.tile(grey, PATCHES))
