"""clay10: rendered clay figures of STL-10's classes, on contact sheets that ship with the package."""

from pathlib import Path

import numpy as np

from rrzoo import images
from rrzoo.clay10 import CLASSES
from rrzoo.datasets.cache import Decoding
from rrzoo.datasets.dataset import Dataset

SHEETS = Path(__file__).parent.parent / "clay10" / "sheets"
SIZE = 96  # px, side of one picture on a sheet


def load(name: str, split: str, root: Path, how: Decoding) -> Dataset:
    """Cut the contact sheets, one a class, into pictures. See `rrzoo.datasets.load`."""
    per_class = []
    for kind in CLASSES:
        sheet = images.read(SHEETS / split / f"{kind}.webp")
        down, across = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
        pictures = sheet.reshape(down, SIZE, across, SIZE, 3).swapaxes(1, 2)
        per_class.append(pictures.reshape(-1, SIZE, SIZE, 3))
    return Dataset(
        name=name,
        split=split,
        images=np.concatenate(per_class),
        labels=np.repeat(np.arange(len(per_class)), [len(pictures) for pictures in per_class]),
        classes=CLASSES,
        mean=(0.534, 0.540, 0.463),
        std=(0.235, 0.221, 0.266),
        statistics="python -m rrzoo data clay10",
        description="clay10 (rendered clay figures)",
        licence="Apache-2.0, as rrzoo itself",
    )
