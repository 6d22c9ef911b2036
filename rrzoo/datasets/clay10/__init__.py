"""clay10: STL-10's ten classes as clay figures, on contact sheets that ship with the package.

`scripts/clay10` renders them.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rrzoo import images
from rrzoo.datasets.cache import Decoding
from rrzoo.datasets.dataset import Dataset

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SHEETS = Path(__file__).parent / "sheets"
DECODERS = 2  # threads that decode sheets
SIZE = 96  # px, side of one picture


def load(name: str, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of clay10. See `rrzoo.datasets.load`."""
    with ThreadPoolExecutor(DECODERS) as decoders:
        per_class = list(decoders.map(_cut, [SHEETS / split / f"{kind}.webp" for kind in CLASSES]))
    return Dataset(
        name=name,
        split=split,
        images=np.concatenate(per_class),
        labels=np.repeat(np.arange(len(CLASSES)), [len(of_class) for of_class in per_class]),
        classes=CLASSES,
        mean=(0.534, 0.540, 0.463),
        std=(0.235, 0.221, 0.266),
        statistics="rrzoo.datasets.dataset.measure of the training split",
        description="clay10 (rendered clay figures)",
        licence="Apache-2.0, as rrzoo itself",
    )


def _cut(path: Path) -> np.ndarray:
    """Cut a contact sheet into its pictures, uint8 (N, 96, 96, 3), row by row."""
    sheet = images.read(path)
    down, across = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
    return sheet.reshape(down, SIZE, across, SIZE, 3).swapaxes(1, 2).reshape(-1, SIZE, SIZE, 3)
