#!/usr/bin/env python
"""Find the training images of Tiny-ImageNet that show a photograph of STL-10: cropped, scaled, re-coded or mirrored."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from alignment import COARSE, FINE, agreement, blurred, fit
from rrzoo import datasets, environment, errors
from rrzoo.datasets import imagenet, trees
from rrzoo.datasets.mapped import Selection
from rrzoo.images import ImageArray
from windows import WHOLE, boxes, cut, pixels, turned, windows

THUMBNAIL = 32  # px, of what windows are cut from
DIMENSIONS = 64  # of a window's descriptor
BLOCK = 2_000  # images at a time; the most similar one of each block may become a candidate
KEPT = 12  # candidates of an image, at most
LEAST = 0.6  # cosine of descriptors from which on a pair is a candidate, beside the best of each image
QUICK = {0.85: 3}  # windows beside the whole: share of the shorter side -> places each way
THOROUGH = {0.85: 3, 0.72: 3, 0.6: 5, 0.5: 5, 0.42: 7}
SAME = 0.8  # correlation of gradients from which on two images show one photograph
DOUBTFUL = 0.6  # correlation from which on a pair is listed, to be looked at

EPILOG = """Candidates are the pairs of images whose whitened thumbnails are most alike: either one whole, a window of
the other. They are then aligned by scale and shift (Gauss-Newton, as Lucas & Kanade 1981), and show one photograph if
the gradients of both correlate at 0.8 or more over the part in common; from 0.6 on they may. Classes in which a quick
search finds any are searched thoroughly. A line of FILE: Tiny-ImageNet's file, number in STL-10's split, correlation,
1 if mirrored.

  python scripts/near_duplicates.py test pairs.tsv"""


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


def search(left: datasets.Dataset, right: datasets.Dataset) -> Pairs:
    """Search all of two splits quickly, and the classes in which that finds a photograph thoroughly."""
    found = find(left.images, right.images, QUICK)
    sure = found[found.score >= SAME]
    of_left, of_right = (torch.from_numpy(split.require_labels()) for split in (left, right))
    parts = [found]
    for name in of_left[sure.left].unique():
        alike = of_right[sure.right[of_left[sure.left] == name]].unique()
        rows, others = (of_left == name).nonzero()[:, 0], torch.isin(of_right, alike).nonzero()[:, 0]
        some = find(Selection(left.images, rows.numpy()), Selection(right.images, others.numpy()), THOROUGH)
        parts.append(replace(some, left=rows[some.left], right=others[some.right]))
    return joined(parts).best()


@torch.inference_mode()
def find(left: ImageArray, right: ImageArray, sides: Mapping[float, int]) -> Pairs:
    """Return the pairs that may show one photograph (DOUBTFUL), each once, sorted by `left` and `right`.

    Args:
        left: uint8 (N, H, W, 3), square.
        right: uint8 (M, H, W, 3), square; the two may be of different sizes.
        sides: windows to look at.
    """
    pairs = aligned(candidates(pictures(left), pictures(right), sides), left, right)
    return pairs[pairs.score >= DOUBTFUL]


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Return the pairs of all parts."""
    return Pairs(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Pairs)))


def pictures(images: ImageArray) -> Pictures:
    """Prepare images: uint8 (N, H, W, 3)."""
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    small = [F.interpolate(pixels(block), (THUMBNAIL, THUMBNAIL), mode="area").byte() for block in blocks]
    return Pictures(torch.cat(small), torch.cat([boxes(block) for block in blocks]))


def candidates(left: Pictures, right: Pictures, sides: Mapping[float, int]) -> Pairs:
    """Return the pairs with the most similar descriptors, at most KEPT of each left image."""
    parts = [
        (side, place) for side, count in sides.items() for place in product(np.linspace(0, 1, count).tolist(), repeat=2)
    ]
    plan = [(mirrored, WHOLE, part) for part in [WHOLE, *parts] for mirrored in (False, True)]
    plan += [(mirrored, part, WHOLE) for part in parts for mirrored in (False, True)]
    lefts = {False: left, True: left.mirrored()}
    learnt = cut(right.thumbnails, *windows(right.boxes, *WHOLE))
    values, vectors = torch.linalg.eigh((learnt.T @ learnt / len(learnt)).double())
    values, vectors = values.flip(0)[:DIMENSIONS], vectors.flip(1)[:, :DIMENSIONS]
    whitening = (vectors / (values + values[16]).sqrt()).float()  # damped: what is coarse still counts more
    kept: tuple[Tensor, ...] | None = None  # score, right image and number in the plan, each (N, at most KEPT)
    known: tuple[object, Tensor] = (None, learnt)
    for number, (mirrored, of_left, of_right) in enumerate(tqdm(plan, "candidates", dynamic_ncols=True)):
        if known[0] != of_right:
            known = of_right, F.normalize(cut(right.thumbnails, *windows(right.boxes, *of_right)) @ whitening)
        rows = F.normalize(cut(lefts[mirrored].thumbnails, *windows(lefts[mirrored].boxes, *of_left)) @ whitening)
        best = [(rows @ block.T).max(1) for block in known[1].split(BLOCK)]
        scores = torch.stack([values for values, _ in best], 1)
        images = torch.stack([indices + BLOCK * place for place, (_, indices) in enumerate(best)], 1)
        new = (scores, images, torch.full_like(images, number))
        every = new if kept is None else tuple(torch.cat(both, 1) for both in zip(kept, new, strict=True))
        order = every[0].topk(min(KEPT, every[0].shape[1]), 1).indices
        kept = tuple(part.gather(1, order) for part in every)
    assert kept is not None  # the plan begins with the whole
    row, column = ((kept[0] >= LEAST) | (kept[0] == kept[0][:, :1])).nonzero(as_tuple=True)
    score, other, numbers = (part[row, column] for part in kept)
    started = []
    for number in numbers.unique().tolist():
        mirrored, of_left, of_right = plan[number]
        chosen = numbers == number
        one, two = row[chosen], other[chosen]
        from_, half = windows(lefts[mirrored].boxes[one], *of_left)
        to, other_half = windows(right.boxes[two], *of_right)
        scale = other_half / half
        shift = to - scale[:, None] * from_
        started.append(Pairs(one, two, torch.full_like(one, mirrored, dtype=torch.bool), scale, shift, score[chosen]))
    return joined(started).best()  # of the windows


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
    return joined(done)


def main(argv: Sequence[str] | None = None) -> None:
    """Find pairs and write them; exit with status 2 on what can be mended."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", choices=("train", "test"), help="split of STL-10")
    parser.add_argument("file", metavar="FILE", type=Path, help="where the pairs are written")
    options = parser.parse_args(argv)
    try:
        photographs = datasets.load("stl10", options.split)
        with mock.patch.object(imagenet, "LEFT_OUT", frozenset()):  # they are what is looked for
            tiny = datasets.load("tinyimagenet", "train")
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    pairs = search(photographs, tiny)
    folder = imagenet.folder_of(imagenet.TINY_IMAGENET, datasets.data_root(), imagenet.TINY_FOLDER) / "train"
    files, _ = trees.labelled_files(folder, trees.classes_of(folder), "images")
    columns = (column.tolist() for column in (pairs.right, pairs.left, pairs.score, pairs.mirrored))
    lines = (f"{files[n].name}\t{of}\t{score:.3f}\t{turned:d}\n" for n, of, score, turned in zip(*columns, strict=True))
    options.file.write_text("".join(lines))
    sure = pairs[pairs.score >= SAME]
    print(
        f"{len(sure.right.unique()):,} images of Tiny-ImageNet show {len(sure.left.unique()):,} photographs of "
        f"{photographs.description}, {options.split} split; {len(pairs) - len(sure):,} pairs more are to be looked at; "
        f"{environment.machine()}"
    )


if __name__ == "__main__":
    main()
