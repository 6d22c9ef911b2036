"""Nine patches of each image on a grid of 3 x 3, for the tasks that ask where a patch belongs."""

import numpy as np

from rrzoo import errors, views
from rrzoo.pretext.task import Batch
from rrzoo.recipes import Recipe

SIDE = 3
PATCHES = SIDE * SIDE
JITTER = 24  # a patch is moved by up to a 1 / JITTER of the side of the image


def check(recipe: Recipe) -> None:
    """Raise `errors.ArgumentError` if the recipe does not ask for nine views."""
    if recipe.views != PATCHES:
        raise errors.ArgumentError(f"views is {recipe.views}: {recipe.pretext} needs {PATCHES}, one for each patch")


def draw(batch: Batch, grey: np.ndarray | None = None) -> views.ViewParameters:
    """Draw nine patches of each image, row by row: patch p of image m is view p * M + m.

    A patch is a quarter of the image high and wide, in the middle of its ninth but for a random offset in each
    direction: at 32 px patches of 8 px, 3 px apart, moved by up to 1 px; at 96 px of 24 px, 8 px apart, moved by up
    to 4 px. Without gaps and offsets, lines that run on from patch to patch would give the answer away.

    Args:
        batch: M images.
        grey: bool (M,), which images lose their colours; default none.

    Returns:
        9 * M crops.
    """
    cells = np.divmod(np.arange(PATCHES), SIDE)  # row and column of each patch
    boxes = []
    for cell, length, share in zip(cells, batch.images.shape[2:], batch.uniform(2, PATCHES), strict=True):
        patch, slack = length // 4, length // JITTER
        middle = ((2 * cell + 1) * length - SIDE * patch) // (2 * SIDE)
        start = np.repeat(middle, len(batch)) - slack + (share * (2 * slack + 1)).astype(np.int64)
        boxes.append((start.clip(0, length - patch), np.full(len(start), patch)))
    (top, height), (left, width) = boxes
    plain = np.zeros(len(top), bool)
    return views.crops(top, left, height, width, plain, plain if grey is None else np.tile(grey, PATCHES))


def size(recipe: Recipe) -> int:
    """Return the side of the patches as the backbone sees them, px: half that of an image, so twice enlarged."""
    return recipe.image_size // 2
