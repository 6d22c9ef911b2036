"""clay10: STL-10's ten classes as clay figures, on contact sheets that ship with the package.

`scripts/clay10` renders them.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rrzoo import images
from rrzoo.datasets.dataset import Dataset, Decoding, Record

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SHEETS = Path(__file__).parent / "sheets"
DECODERS = 2  # threads that decode sheets
SIZE = 96  # px, side of one picture


def load(record: Record, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of clay10. See `rrzoo.datasets.load`."""
    with ThreadPoolExecutor(DECODERS) as decoders:
        per_class = list(decoders.map(cut, [SHEETS / split / f"{kind}.webp" for kind in CLASSES]))
    return Dataset(
        name=record.name,
        split=split,
        images=np.concatenate(per_class),
        labels=np.repeat(np.arange(len(CLASSES)), [len(of_class) for of_class in per_class]),
        classes=CLASSES,
        mean=(0.534, 0.540, 0.463),
        std=(0.235, 0.221, 0.266),
        statistics="rrzoo.datasets.dataset.measure of the training split",
        description=record.title,
        licence=record.licence,
    )


def cut(path: Path) -> np.ndarray:
    """Cut a contact sheet into its pictures, uint8 (N, 96, 96, 3), row by row."""
    sheet = images.read(path)
    down, across = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
    return sheet.reshape(down, SIZE, across, SIZE, 3).swapaxes(1, 2).reshape(-1, SIZE, SIZE, 3)


CLAY10 = Record(
    name="clay10",
    title="clay10 (rendered clay figures)",
    load=load,
    splits={"train": 4_000, "test": 1_000},
    test_split="test",
    class_count=len(CLASSES),
    image_size=SIZE,
    licence="Apache-2.0, as rrzoo itself",
    source="rrzoo; scripts/clay10 renders them",
    by_hand="it ships with rrzoo",
)
