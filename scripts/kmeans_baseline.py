#!/usr/bin/env python
"""Measure the baseline without a network: k-means on whitened patches, and a linear probe on what it yields."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from rrzoo import datasets, environment, errors
from rrzoo.evaluation import probes
from rrzoo.images import ImageArray, to_square
from rrzoo.pretext import kmeans

PATCH = 6  # px
CONTRAST = 10  # is added to the variance of a patch, of grey levels 0 to 255
RIDGE = 0.1  # is added to the variances that whitening divides by
PATCHES = 400_000  # that centroids are learnt from
ITERATIONS = 10  # of k-means: enough, say Coates & Ng 2012 (Learning feature representations with k-means)
VALUES = 2**21  # distances at a time: few enough to stay in the processor's cache
L2_GRID = (1e-3, 1e-2, 1e-1, 1.0)  # larger than other features need, as these are many
HELD_OUT = 0.2  # share of the training images that --held-out measures on

EPILOG = """Coates, Lee & Ng 2011 (AISTATS, https://proceedings.mlr.press/v15/coates11a.html): patches of 6 x 6 px
from every place, of even contrast and whitened (ZCA); how much nearer than the mean each of K centroids is to a patch
("triangle"), summed over each quarter of the image: 4 K numbers. The probe is that of all models (logistic
regression; the article has a linear SVM), its regulariser chosen on a tenth of the training images. With --held-out
no test image is looked at.

  python scripts/kmeans_baseline.py cifar10
  python scripts/kmeans_baseline.py stl10 --side 48 --learn-from tinyimagenet --held-out"""


@dataclass(frozen=True)
class Dictionary:
    """What was learnt from patches."""

    mean: Tensor  # float32 (D,) of patches, D = 3 * PATCH**2
    whitening: Tensor  # float32 (D, D), symmetric
    centroids: Tensor  # float32 (K, D), of whitened patches


def patches_of(images: np.ndarray) -> Tensor:
    """Return the patches of uint8 (B, S, S, 3), row by row, of mean 0 and even contrast: float32 (B, (S - 5)**2, D)."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    rows = F.unfold(pixels, PATCH).mT
    rows = rows - rows.mean(2, keepdim=True)
    return rows / (rows.var(2, keepdim=True) + CONTRAST).sqrt()


def learn(images: ImageArray, side: int, centroids: int, seed: int = 0) -> Dictionary:
    """Whiten about PATCHES patches of images scaled to `side` px, chosen by chance, and cluster them."""
    random = np.random.default_rng(seed)
    each = -(-PATCHES // len(images))  # of an image
    chosen = np.sort(random.permutation(len(images))[: -(-PATCHES // each)])
    found = []
    for numbers in tqdm(np.array_split(chosen, -(-len(chosen) // 100)), "patches", dynamic_ncols=True):
        rows = patches_of(to_square(images[numbers], side))
        places = random.integers(0, rows.shape[1], (len(rows), each))
        found.append(rows[torch.arange(len(rows))[:, None], torch.from_numpy(places)].flatten(0, 1))
    rows = torch.cat(found)
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - mean).T.cov().double())
    whitening = (vectors * (values + RIDGE).rsqrt() @ vectors.T).float()
    return Dictionary(mean, whitening, kmeans.lloyd((rows - mean) @ whitening, centroids, ITERATIONS, seed)[0])


def features(dictionary: Dictionary, images: ImageArray, side: int) -> np.ndarray:
    """Return how near the centroids are to the patches of each quarter of the images: float32 (N, 4 K)."""
    count, places = len(dictionary.centroids), side - PATCH + 1
    squares, half = dictionary.centroids.square().sum(1), (places + 1) // 2
    size = max(1, VALUES // (places**2 * count))
    made = np.empty((len(images), 4 * count), np.float32)
    for start in tqdm(range(0, len(images), size), "features", dynamic_ncols=True):
        rows = (patches_of(to_square(images[start : start + size], side)) - dictionary.mean) @ dictionary.whitening
        flat = rows.flatten(0, 1)
        distance = torch.addmm(squares, flat, dictionary.centroids.T, alpha=-2).add_(flat.square().sum(1, keepdim=True))
        distance = distance.clamp_(min=0).sqrt_()
        nearer = (distance.mean(1, keepdim=True) - distance).clamp_(min=0).view(len(rows), places, places, count)
        quarters = [part.sum((1, 2)) for band in nearer.split(half, 1) for part in band.split(half, 2)]
        made[start : start + size] = torch.cat(quarters, 1).numpy()
    return made


def measure(options: argparse.Namespace) -> str:
    """Learn, measure, and return a row of the table."""
    begun = time.process_time()
    train = datasets.load(options.dataset, "train")
    test = datasets.load(options.dataset, datasets.test_split(options.dataset))
    if options.held_out:
        train, test = parted(train)
    source = train if options.learn_from is None else datasets.load(options.learn_from, "train")
    side = options.side or train.images.shape[1]
    dictionary = learn(source.images, side, options.centroids, options.seed)
    learnt = time.process_time()
    rows, unseen = (features(dictionary, part.images, side) for part in (train, test))
    described = time.process_time()
    labels, right = train.require_labels(), test.require_labels()
    l2 = probes.choose_l2(rows, labels, L2_GRID)
    share = probes.linear_probe_accuracy(rows, labels, unseen, right, l2=l2)
    folds = "-"
    if train.folds is not None:
        shares = 100 * probes.linear_probe_fold_accuracies(rows, labels, unseen, right, train.folds, L2_GRID)
        folds = f"{shares.mean():.2f} ± {shares.std():.2f}%"
    minutes = np.diff([begun, learnt, described, time.process_time()]) / 60
    cells = [
        f"k-means on patches, K = {options.centroids:,}, {side} px",
        source.description,
        test.description + (", training images held out" if options.held_out else ""),
        f"{len(train):,} / {len(test):,}",
        f"{4 * options.centroids:,}",
        f"{l2:g}",
        f"{share:.2%}",
        folds,
        " + ".join(f"{part:.1f}" for part in minutes),
    ]
    return f"| {' | '.join(cells)} |"


def parted(train: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Return two parts of the training images: to fit the probe to, and to measure on."""
    order = np.random.default_rng(0).permutation(len(train))
    held, kept = np.split(order, [round(HELD_OUT * len(order))])
    labels = train.require_labels()
    images = train.images
    fitted, measured = (replace(train, images=images[rows], labels=labels[rows], folds=None) for rows in (kept, held))
    return fitted, measured


def main(argv: Sequence[str] | None = None) -> None:
    """Print one row of the table; exit with status 2 on what can be mended."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=datasets.names(), metavar="NAME", help="data set to fit and measure on")
    parser.add_argument("--centroids", type=int, default=1_600, metavar="K", help="how many (default: 1,600)")
    parser.add_argument("--side", type=int, metavar="PX", help="scale images to squares of it (default: as they are)")
    parser.add_argument("--learn-from", metavar="NAME", help="data set of the patches (default: the same)")
    parser.add_argument("--seed", type=int, default=0, help="of patches and first centroids (default: 0)")
    parser.add_argument("--held-out", action="store_true", help="measure on a fifth of the training images instead")
    options = parser.parse_args(argv)
    try:
        print(measure(options))
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    print(
        "fitted to / measured on, numbers an image, l2, accuracy, ten folds, CPU minutes: patches + features + probes"
    )
    print(f"{environment.machine()}, n = 1")


if __name__ == "__main__":
    main()
