"""Clay10: STL-10's ten classes as clay figures, each picture drawn from its class and index alone.

A figure is modelled from parts (`figure`, `classes`) that form a signed distance field (`field`). It is put
into a scene (`camera`, `setting`, `clutter`) and seen by marching rays (`march`, `shade`, `picture`). To add
a class, write its module in `classes`, enter it in `scene.BUILDERS`, and append its name to `CLASSES`.
"""

import difflib

import numpy as np

# The place of a class here seeds its pictures: append new ones, never reorder.
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
MIN_SIZE = 8


def render(class_name: str, index: int, size: int = 96) -> np.ndarray:
    """Draw picture number `index` (0, 1, ... without end) of a class.

    Returns uint8 (size, size, 3), RGB; the same arguments give the same picture. Needs numba, which compiles
    the renderer in the first call (some ten seconds, then kept on disk).
    """
    if class_name not in CLASSES:
        close = difflib.get_close_matches(class_name, CLASSES, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"Unknown clay10 class {class_name!r}.{hint} Choose from: {', '.join(CLASSES)}.")
    if index < 0:
        raise ValueError(f"index is {index}, but must be 0 or more.")
    if size < MIN_SIZE:
        raise ValueError(f"size is {size}, but must be at least {MIN_SIZE} pixels.")
    from clay10.scene import draw  # late, because it imports numba

    return draw(CLASSES.index(class_name), class_name, index, size)
