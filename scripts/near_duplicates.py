#!/usr/bin/env python
"""Find images of two splits that show one photograph: cropped, scaled, re-coded or mirrored."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from alignment import COARSE, FINE, agreement, blurred, fit
from rrzoo import datasets, environment, errors
from rrzoo.images import ImageArray

THUMBNAIL = 32  # px, of what windows are cut from
CELLS = 10  # each way, that a window is averaged over
DIMENSIONS = 64  # of a window's descriptor
BLOCK = 4_000  # images at a time; the most similar one of each block may become a candidate
KEPT = 24  # candidates of an image, at most
LEAST = 0.5  # cosine of descriptors from which on a pair is a candidate
SIDES = (0.85, 0.72)  # of windows, beside the whole: shares of the shorter side
PLACES = (0.0, 0.5, 1.0)  # of windows, each way
DARK = 24  # of 255: a border no brighter than that is not the photograph's
SAME = 0.8  # correlation of gradients from which on two images show one photograph

EPILOG = """Candidates are the pairs of images whose whitened thumbnails are most alike: either one whole, a window of
the other. They are then aligned by scale and shift (Gauss-Newton, as Lucas & Kanade 1981), and show one photograph if
the gradients of both correlate at 0.8 or more over the part in common. A line of FILE: number in the first split,
number in the second, correlation, 1 if mirrored.

  python scripts/near_duplicates.py stl10/test tinyimagenet/train pairs.tsv"""


@dataclass(frozen=True)
class Pairs:
    """Images that may show one photograph: the point x of `left` is the point scale * x + shift of `right`.

    Points are (x, y) of -1 to 1, as in `F.grid_sample`; `left` is turned round first where `mirrored`.
    """

    left: Tensor  # int64 (P,)
    right: Tensor  # int64 (P,)
    mirrored: Tensor  # bool (P,)
    scale: Tensor  # float32 (P,)
    shift: Tensor  # float32 (P, 2)
    score: Tensor  # float32 (P,): cosine of descriptors, or correlation of gradients

    def __len__(self) -> int:
        """Return P."""
        return len(self.left)

    def __getitem__(self, rows: Tensor | slice) -> "Pairs":
        """Return some of them."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def best(self) -> "Pairs":
        """Return each pair of images once, with its highest score, sorted by `left` and `right`."""
        ordered = self[self.score.argsort(descending=True, stable=True)]
        keys = torch.stack([ordered.left, ordered.right], 1).numpy()
        return ordered[torch.from_numpy(np.unique(keys, axis=0, return_index=True)[1])]


@dataclass(frozen=True)
class Pictures:
    """Images as they are searched."""

    thumbnails: Tensor  # uint8 (N, 3, THUMBNAIL, THUMBNAIL)
    boxes: Tensor  # float32 (N, 2, 2): first and last point that is no dark border

    def mirrored(self) -> "Pictures":
        """Return them turned round."""
        return Pictures(self.thumbnails.flip(3), turned(self.boxes))


@torch.inference_mode()
def find(left: ImageArray, right: ImageArray) -> Pairs:
    """Return the pairs that show one photograph, each once, sorted by `left` and `right`.

    Args:
        left: uint8 (N, H, W, 3), square.
        right: uint8 (M, H, W, 3), square; the two splits may be of different sizes.
    """
    pairs = aligned(candidates(pictures(left), pictures(right)), left, right)
    return pairs[pairs.score >= SAME]


def pictures(images: ImageArray) -> Pictures:
    """Prepare images: uint8 (N, H, W, 3)."""
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    small = [F.interpolate(pixels(block), (THUMBNAIL, THUMBNAIL), mode="area").byte() for block in blocks]
    return Pictures(torch.cat(small), torch.cat([boxes(block) for block in blocks]))


def pixels(images: np.ndarray) -> Tensor:
    """Return uint8 (N, H, W, 3) as float32 (N, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()


def boxes(images: np.ndarray) -> Tensor:
    """Return where images without dark borders begin and end: float32 (N, 2, 2), first and last (x, y), -1 to 1."""
    bright = images.max(3) > DARK
    ends = []
    for axis in (1, 2):  # what is left along x, then along y
        lit = bright.mean(axis) > 0.03
        first, last, side = lit.argmax(1), lit.shape[1] - lit[:, ::-1].argmax(1), lit.shape[1]
        whole = last - first < side / 4  # a dark photograph
        first = np.where(whole | (first == 0), 0, first + 2)  # the border's edge is blurred
        last = np.where(whole | (last == side), side, last - 2)
        ends.append(np.stack([first, last], 1) * 2 / side - 1)
    return torch.from_numpy(np.stack(ends, 2)).float()


def turned(boxes: Tensor) -> Tensor:
    """Return the boxes of mirrored images."""
    return torch.stack([-boxes[..., 0].flip(1), boxes[..., 1]], 2)


def windows(boxes: Tensor, share: float, place: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return squares of a `share` of the shorter side: centres float32 (N, 2), and half their sides (N,)."""
    size = boxes[:, 1] - boxes[:, 0]
    side = share * size.min(1).values
    return boxes[:, 0] + side[:, None] / 2 + (size - side[:, None]) * torch.tensor(place), side / 2


def cut(images: Tensor, centre: Tensor, half: Tensor) -> Tensor:
    """Return windows averaged over cells, without their mean colour: float32 (N, 3 * CELLS**2)."""
    steps = (torch.arange(2 * CELLS) + 0.5) / CELLS - 1
    rows = []
    for some, c, h in zip(images.split(BLOCK), centre.split(BLOCK), half.split(BLOCK), strict=True):
        x, y = (c[:, i : i + 1] + h[:, None] * steps for i in (0, 1))
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), 3)
        cells = F.avg_pool2d(F.grid_sample(some.float(), grid, padding_mode="border", align_corners=False), 2)
        rows.append((cells - cells.mean((2, 3), keepdim=True)).flatten(1))
    return torch.cat(rows)


def candidates(left: Pictures, right: Pictures) -> Pairs:
    """Return the pairs with the most similar descriptors, at most KEPT of each left image."""
    whole = (1.0, (0.5, 0.5))
    parts = [(side, (x, y)) for side in SIDES for x in PLACES for y in PLACES]
    plan = [(mirrored, whole, part) for part in [whole, *parts] for mirrored in (False, True)]
    plan += [(mirrored, part, whole) for part in parts for mirrored in (False, True)]
    sides = {False: left, True: left.mirrored()}
    learnt = cut(right.thumbnails, *windows(right.boxes, *whole))
    values, vectors = torch.linalg.eigh((learnt.T @ learnt / len(learnt)).double())
    values, vectors = values.flip(0)[:DIMENSIONS], vectors.flip(1)[:, :DIMENSIONS]
    whitening = (vectors / (values + values[16]).sqrt()).float()  # damped: what is coarse still counts more
    found: list[tuple[Tensor, ...]] = []
    known: tuple[object, Tensor] = (None, learnt)
    for mirrored, of_left, of_right in tqdm(plan, "candidates", dynamic_ncols=True):
        of_l, of_r = windows(sides[mirrored].boxes, *of_left), windows(right.boxes, *of_right)
        rows = F.normalize(cut(sides[mirrored].thumbnails, *of_l) @ whitening)
        if known[0] != of_right:
            known = of_right, F.normalize(cut(right.thumbnails, *of_r) @ whitening)
        for number, block in enumerate(known[1].split(BLOCK)):
            score, best = (rows @ block.T).max(1)
            best += number * BLOCK
            scale = of_r[1][best] / of_l[1]
            shift = of_r[0][best] - scale[:, None] * of_l[0]
            found.append((best, torch.full_like(best, mirrored, dtype=torch.bool), scale, shift, score))
    right_, mirrored_, scales, shifts, scores = (torch.stack(part, 1) for part in zip(*found, strict=True))
    kept = scores.topk(min(KEPT, scores.shape[1]), 1)
    row, column = (kept.values >= LEAST).nonzero(as_tuple=True)
    column = kept.indices[row, column]
    pairs = Pairs(row, *(values[row, column] for values in (right_, mirrored_, scales, shifts, scores)))
    return pairs.best()  # of the windows


def aligned(pairs: Pairs, left: ImageArray, right: ImageArray) -> Pairs:
    """Move pairs until both images fit; `score` becomes the correlation of their gradients, -1 to 1."""
    done = []
    for start in tqdm(range(0, len(pairs), 500), "aligning", dynamic_ncols=True):
        some = pairs[start : start + 500]
        rows, of_left = np.unique(some.left.numpy(), return_inverse=True)
        others, of_right = np.unique(some.right.numpy(), return_inverse=True)
        ones, mirrored = left[rows], some.mirrored[:, None, None]
        box = boxes(ones)[of_left]
        box = torch.where(mirrored, turned(box), box)
        coarse, fine = (
            (torch.where(mirrored[..., None], one.flip(3), one), other)
            for one, other in (
                (blurred(pixels(ones), blur)[of_left], blurred(pixels(right[others]), blur)[of_right])
                for _, blur in (COARSE, FINE)
            )
        )
        scale, shift = fit(*coarse, box, some.scale, some.shift)
        done.append(Pairs(some.left, some.right, some.mirrored, scale, shift, agreement(*fine, box, scale, shift)))
    return Pairs(*(torch.cat([getattr(part, field.name) for part in done]) for field in fields(Pairs)))


def main(argv: Sequence[str] | None = None) -> None:
    """Find pairs and write them; exit with status 2 on what can be mended."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for which in ("left", "right"):
        parser.add_argument(which, metavar="NAME/SPLIT", help="a data set and its split")
    parser.add_argument("file", metavar="FILE", type=Path, help="where the pairs are written")
    options = parser.parse_args(argv)
    try:
        splits = [datasets.load(*one.rsplit("/", 1)) for one in (options.left, options.right)]
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    pairs = find(*(split.images for split in splits))
    columns = (pairs.left, pairs.right, pairs.score, pairs.mirrored)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines = (f"{left}\t{right}\t{score:.3f}\t{mirrored:d}\n" for left, right, score, mirrored in rows)
    options.file.write_text("".join(lines))
    shares = [
        f"{len(numbers.unique()):,} of the {len(split):,} images of {name}"
        for numbers, split, name in zip(columns[:2], splits, (options.left, options.right), strict=True)
    ]
    print(f"{len(pairs):,} pairs: {shares[0]} and {shares[1]} show one photograph; {environment.machine()}")


if __name__ == "__main__":
    main()
