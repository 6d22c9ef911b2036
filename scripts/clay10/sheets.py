#!/usr/bin/env python
"""Draw the contact sheets that ship in rrzoo/datasets/clay10/sheets: a WebP file for each class and split."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else it is the folder of this file, where no clay10 is

from clay10 import CLASSES, render

# split -> numbers of its figures; a sheet of training figures is 20 across, one of test figures 10
SPLITS = {"train": range(400), "test": range(400, 500)}
ACROSS = {"train": 20, "test": 10}
QUALITY, METHOD = 85, 6  # of WebP's encoder: the same pixels give the files that ship, to the byte


def main() -> None:
    """Draw all sheets."""
    parser = argparse.ArgumentParser(description=f"{__doc__} Takes about ten minutes.")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write to, which must be new")
    out = parser.parse_args().out
    if out.exists():
        parser.exit(2, f"error: {out} is already there: name a new folder\n")
    write_sheets(out, SPLITS)


def write_sheets(out: Path, splits: Mapping[str, range]) -> None:
    """Draw the figures of all classes and splits, and write `out`/<split>/<class>.webp."""
    count = len(CLASSES) * sum(map(len, splits.values()))
    with tqdm(desc="drawing", total=count, unit=" figures", dynamic_ncols=True) as bar:
        for split, numbers in splits.items():
            (out / split).mkdir(parents=True)
            for class_name in CLASSES:
                figures = []
                for number in numbers:
                    figures.append(render(class_name, number))
                    bar.update()
                sheet = Image.fromarray(lay_out(np.stack(figures), min(ACROSS[split], len(figures))))
                sheet.save(out / split / f"{class_name}.webp", quality=QUALITY, method=METHOD)


def lay_out(figures: np.ndarray, across: int) -> np.ndarray:
    """Return figures, uint8 (N, S, S, 3), row by row on one sheet, uint8 (N / across * S, across * S, 3)."""
    count, side = figures.shape[:2]
    rows = figures.reshape(count // across, across, side, side, 3).swapaxes(1, 2)  # (down, S, across, S, 3)
    return rows.reshape(count // across * side, across * side, 3)


if __name__ == "__main__":
    main()
