#!/usr/bin/env python
"""Fit and measure the finding of duplicates, on copies of STL-10's pictures that are altered in thirteen ways."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

import rrzoo
from alterations import ALTERATIONS, NOT_FITTED, flat
from rrzoo import datasets, environment
from rrzoo import files as rrzoo_files
from rrzoo.gallery.duplicates import evidence
from rrzoo.gallery.duplicates.evidence import ANY, FORMAT, Calibration, Judge, Precision
from rrzoo.gallery.duplicates.grouping import group, pairs
from rrzoo.gallery.duplicates.linking import Groups, Judged, link

MODELS = ("lite0-stl10", "conv4x4-stl10")
SIZES = {"train": (1500, 3000, 100), "test": (2000, 5500, 200)}  # pictures with ten copies each, others, and flat ones
COPIES = 10
SEEDS = {"train": 1, "test": 2}
SAME, SHARED = 0.8, 0.5  # correlation and overlap from which on two of STL-10's own pictures are near-copies
NEAR = 0.7  # cosine from which on they are looked at
# pairs of STL-10's rows that lie on one another well, and show different things when looked at: they stay
DIFFERENT = {
    "test": {
        (269, 5895), (381, 2685), (1265, 5934), (1406, 1647), (1590, 3780), (1983, 4939), (2129, 5725), (2233,
        4939), (2273, 6418), (2831, 4879), (3060, 7788), (3064, 5686), (3146, 4177), (3207, 7242), (3279, 7065),
        (3367, 4683), (3996, 4957), (4781, 7447), (5964, 7372), (6292, 6630), (2233, 4325), (2795, 4177), (3111,
        7596), (4177, 4939), (4325, 5795), (4325, 6717), (6914, 7300), (3146, 4939), (3644, 6675), (867, 5948),
        (1271, 6415), (1363, 3511)
    },
    "train": {
        (505, 1154), (1890, 3468), (1925, 4285), (2960, 4246), (1127, 4246), (1852, 2389), (2919, 3496), (1373,
        2225), (1127, 1584), (1127, 2960), (3218, 4132), (30, 4779), (2090, 2919), (3496, 4496), (3413, 4851)
    },
}  # fmt: skip
LOST = 0.0002  # share of the pairs that are found to be copies that the quick sum may lose
PRECISION = 0.99
JOINS = 100.0  # is added to scores of which, as in tools that have nothing else, every pair joins two groups
CAUTION = 0.9  # share of collections like that of the training pictures that reach the precision that is promised
DRAWS = 1000  # of the bootstrap
RUNS = 3  # that are timed
PROBABILITIES = (
    0.3,
    0.5,
    0.6,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.93,
    0.95,
    0.97,
    0.98,
    0.985,
    0.99,
    0.993,
    0.995,
    0.997,
    0.998,
    0.999,
)
BLIND = Judge((0.0,) * 4, -1.0, (0.0,) * 5, ())  # before anything is fitted: every pair is looked at

Curve = list[tuple[float, float, float]]  # threshold, precision, recall


@dataclass
class Collection:
    """An indexed folder, and what is known of its pictures."""

    gallery: rrzoo.Gallery
    picture: np.ndarray  # str (N,): which picture each shows
    kind: np.ndarray  # str (N,): how it was altered, "original", or "flat"

    def score(self, labels: np.ndarray) -> tuple[float, float]:
        """Return precision and recall of the pairs of pictures within groups, given the group of each, int (N,)."""
        found, told = self._pairs(labels)
        return float(found.sum() / max(told.sum(), 1)), float(found.sum() / _pairs_of(self.picture).sum())

    def cautious_precision(self, labels: np.ndarray) -> float:
        """Return the precision that nine of ten such collections reach, by bootstrap over groups."""
        found, told = self._pairs(labels)
        found, told = found[told > 0], told[told > 0]
        drawn = np.random.default_rng(0).multinomial(len(told), [1 / len(told)] * len(told), DRAWS)
        return float(np.quantile(drawn @ found / (drawn @ told), 1 - CAUTION))

    def _pairs(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many pairs of each group are copies, and how many there are."""
        groups, numbers = np.unique(labels, return_inverse=True)
        both = np.stack([numbers, np.unique(self.picture, return_inverse=True)[1]])
        (of, _), sizes = np.unique(both, axis=1, return_counts=True)
        return np.bincount(of, sizes * (sizes - 1) // 2, len(groups)), _pairs_of(numbers)


def _pairs_of(labels: np.ndarray) -> np.ndarray:
    sizes = np.unique(labels, return_counts=True)[1]
    pairs: np.ndarray = sizes * (sizes - 1) // 2
    return pairs


def write_collection(work: Path, split: str) -> Path:
    """Write pictures of STL-10 and altered copies of them as JPEG files, once."""
    folder = work / split
    if folder.exists():
        return folder
    images = datasets.load("stl10", split).images
    order = [
        row
        for row in np.random.default_rng(SEEDS[split]).permutation(len(images))
        if row not in near_copies(work, split)
    ]
    copied, others, plain = SIZES[split]
    with rrzoo_files.new_folder(folder) as new:
        for number, row in enumerate(order[: copied + others]):
            picture = Image.fromarray(np.asarray(images[row]))
            picture.save(new / f"{row:05}-original.jpg", quality=95)
            random = np.random.default_rng([SEEDS[split], row])
            for kind in random.choice(list(ALTERATIONS), COPIES, replace=False) if number < copied else ():
                ALTERATIONS[kind](picture, random).save(new / f"{row:05}-{kind}.jpg", quality=90)
        for number in range(plain):
            flat(np.random.default_rng([SEEDS[split], 7, number]), 96).save(new / f"flat{number}-flat.jpg", quality=95)
    return folder


def near_copies(work: Path, split: str) -> set[int]:
    """Return the rows of STL-10 that show nearly what an earlier one shows: found by alignment, kept in a file."""
    kept = work / f"near-copies-{split}.json"
    if not kept.exists():
        own = rrzoo.load(MODELS[0]).gallery()
        comparison = own.comparison(BLIND)
        left, right = pairs(comparison, 8)
        mine = np.array([source.startswith(f"stl10/{split}/") for source in own.sources])
        cosines = np.einsum("nd,nd->n", comparison.unit[left], comparison.unit[right])
        chosen = mine[left] & mine[right] & (cosines >= NEAR)
        left, right = left[chosen], right[chosen]
        agreement = comparison.agreement(left, right)
        same = (agreement[:, 0] >= SAME) & (agreement[:, 1] >= SHARED)
        found = [
            [int(own.sources[row].rpartition("/")[2]) for row in pair]
            for pair in zip(left[same], right[same], strict=True)
        ]
        rrzoo_files.write(kept, json.dumps(found))
    copies = {(min(pair), max(pair)) for pair in json.loads(kept.read_bytes())} - DIFFERENT[split]
    return {row for _, row in copies}


def opened(work: Path, split: str, name: str) -> Collection:
    """Index a collection by a model, or go on with what is there."""
    folder = write_collection(work, split)
    gallery = rrzoo.Gallery.index_folder(rrzoo.load(name), folder, work / f"{split}-{name}")
    parts = np.array([source.removesuffix(".jpg").split("-") for source in gallery.sources])
    return Collection(gallery, parts[:, 0], parts[:, 1])


def regression(columns: Sequence[np.ndarray], positive: np.ndarray) -> tuple[float, ...]:
    """Return the weights of columns (P,) and the constant of a logistic regression (Newton's method)."""
    x = np.stack(columns, 1).astype(np.float64)
    mean, deviation = x.mean(0), np.maximum(x.std(0), 1e-9)
    x = np.c_[(x - mean) / deviation, np.ones(len(x))]
    ridge, weights = np.append(np.ones(x.shape[1] - 1), 1e-6), np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (p - positive) + ridge * weights
        weights -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge), slope)
    scaled = weights[:-1] / deviation
    return (*map(float, scaled), float(weights[-1] - scaled @ mean))


def linked(collection: Collection, judged: Judged, threshold: float) -> np.ndarray:
    """Return the group of each picture, int64 (N,), where pairs of at least such scores are linked."""
    groups = Groups(len(collection.picture))
    link(groups, judged, threshold)
    return groups.label


def curve(
    collection: Collection, left: np.ndarray, right: np.ndarray, scores: np.ndarray, at: Sequence[float]
) -> Curve:
    """Return precision and recall at some thresholds of scores."""
    judged = Judged(left, right, scores, len(collection.picture))
    return [(threshold, *collection.score(linked(collection, judged, threshold))) for threshold in at]


def fit(work: Path) -> None:
    """Write calibration.json."""
    judges, names = {}, {}
    for name in MODELS:
        collection = opened(work, "train", name)
        comparison = collection.gallery.comparison(BLIND)
        left, right = pairs(comparison)
        cosines, logits = comparison.scores(left, right)
        resemblances = comparison.resemblance(left, right)
        agreement = comparison.agreement(left, right)
        copies = collection.picture[left] == collection.picture[right]
        strange = np.isin(collection.kind, (*NOT_FITTED, "flat"))
        fitted = ~(strange[left] | strange[right]) & (agreement[:, 0] > 0)
        correlation, overlap = evidence.terms(agreement)
        straightened = evidence.straightened(resemblances)
        for key, columns in ((collection.gallery.model.fingerprint, (cosines, logits)), (ANY, ())):
            quick, full = (
                regression([column[fitted] for column in (*columns, *last)], copies[fitted])
                for last in ((straightened,), (correlation, overlap))
            )
            quick, full = ((0.0,) * (2 - len(columns)) + weights for weights in (quick, full))
            judge = Judge(quick, -1.0, full, ())
            probability = judge.probability(cosines, logits, agreement)
            total = judge.quick_sum(cosines, logits, resemblances)
            judge = replace(judge, least=float(np.quantile(total[fitted & copies & (probability >= 0.5)], LOST)))
            likely = judge.is_likely(cosines, logits, resemblances)
            probability = np.where(likely, probability, 0.0)
            judged = Judged(left, right, probability, len(collection.picture))
            precisions = []
            for p in PROBABILITIES:
                labels = linked(collection, judged, p)
                precisions.append(Precision(p, round(collection.cautious_precision(labels), 4)))
                print_row(name, f"{key[:8]} >= {precisions[-1].precision}", p, *collection.score(labels))
            judges[key] = replace(judge, measured=tuple(precisions))
            print(f"    {likely[~copies].mean():.3f} of the pairs that are no copies are laid on one another")
        names[collection.gallery.model.fingerprint] = name
    how = "scripts/duplicates.py, on {} of STL-10's training pictures with 10 altered copies each, {} others, {} flat"
    record = Calibration(FORMAT, how.format(*SIZES["train"]), judges, names)
    rrzoo_files.write(evidence.CALIBRATION, json.dumps(asdict(record), indent=1) + "\n")


def hashes(
    collection: Collection, folder: Path, kind: Callable[[Image.Image], imagehash.ImageHash]
) -> tuple[np.ndarray, ...]:
    """Return all pairs of hashes of 64 bits that differ in 12 at most, and JOINS minus their distances."""
    signs = (
        np.stack([kind(Image.open(folder / source)).hash.ravel() for source in collection.gallery.sources]) * 2.0 - 1
    )
    signs = signs.astype(np.float32)
    parts = []
    for start in range(0, len(signs), 1000):
        distance = (64 - signs[start : start + 1000] @ signs.T) / 2
        left, right = np.nonzero(distance <= 12)
        below = left + start < right
        parts.append((left[below] + start, right[below], JOINS - distance[left[below], right[below]]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def measure(work: Path) -> None:
    """Print precision and recall on test pictures, at the thresholds that reach 99% precision on training pictures."""
    for name in MODELS:
        train, test = (opened(work, split, name) for split in ("train", "test"))
        ways: dict[str, Callable[[Collection, Path], tuple[np.ndarray, ...]]] = {
            "pHash": lambda one, folder: hashes(one, folder, imagehash.phash),
            "dHash": lambda one, folder: hashes(one, folder, imagehash.dhash),
            "cosine": lambda one, _: by_model(one, 0),
            "relation head": lambda one, _: by_model(one, 1),
        }
        for way, scored in ways.items():
            left, right, scores = scored(train, work / "train")
            steps = np.unique(np.quantile(scores, np.linspace(0, 1, 400)))
            enough = [row for row in curve(train, left, right, scores, steps) if row[1] >= PRECISION]
            if not enough:
                print(f"{name} {way}: no threshold reaches {PRECISION:.0%} on training pictures")
            threshold = max(enough, key=lambda row: row[2])[0] if enough else float(scores.max())
            ((_, *shares),) = curve(test, *scored(test, work / "test"), [threshold])
            print_row(name, way, threshold - JOINS, *shares)
        judged(test, name)


def by_model(collection: Collection, which: int) -> tuple[np.ndarray, ...]:
    """Return the pairs of candidates, with JOINS and their cosines or relation scores."""
    comparison = collection.gallery.comparison(BLIND)
    left, right = pairs(comparison)
    cosines, logits = comparison.scores(left, right)
    return left, right, JOINS + (cosines, 1 / (1 + np.exp(-logits)))[which]


def judged(test: Collection, name: str) -> None:
    """Print what `Gallery.duplicates` finds, and how much of each kind."""
    judge = evidence.judge_of(test.gallery.model.fingerprint)
    threshold = judge.threshold(PRECISION)
    begun = time.perf_counter()
    groups = group(test.gallery.comparison(judge), threshold)
    seconds = time.perf_counter() - begun
    labels = groups.label
    print_row(name, "all together", threshold, *test.score(labels))
    print(f"    {len(labels)} pictures compared in {seconds:.0f} s")
    original = {picture: labels[row] for row, picture in enumerate(test.picture) if test.kind[row] == "original"}
    found = np.array([original.get(p) == label for p, label in zip(test.picture, labels, strict=True)])
    for kind in ALTERATIONS:
        here = test.kind == kind
        print(f"    {kind:12} {found[here].mean():.3f} of {here.sum()}", "(not fitted)" * (kind in NOT_FITTED))
    alone = np.bincount(labels)[labels[test.kind == "flat"]] == 1
    print(f"    flat pictures in a group: {(~alone).sum()} of {len(alone)}", flush=True)


def timed(gallery: Path) -> None:
    """Print how long the pictures of a gallery of the first model take to be compared."""
    opened_once, seconds = rrzoo.Gallery.load(rrzoo.load(MODELS[0]), gallery), []
    for _ in range(RUNS):
        comparison = opened_once.comparison()
        begun = time.perf_counter()
        groups = group(comparison, comparison.judge.threshold(PRECISION))
        seconds.append(time.perf_counter() - begun)
    print(
        f"{len(opened_once):,} pictures compared in {np.median(seconds):.1f} s, median of {RUNS} runs "
        f"({min(seconds):.1f} to {max(seconds):.1f}): {len(groups.listed()):,} groups; {environment.machine()}"
    )


def print_row(name: str, way: str, threshold: float, precision: float, recall: float) -> None:
    """Print one line of the table."""
    print(f"{name:14} {way:14} from {threshold:8.3f}  precision {precision:.4f}  recall {recall:.4f}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what",
        choices=("fit", "measure", "time"),
        help="write calibration.json, measure what it brings, or how long it takes",
    )
    parser.add_argument(
        "--gallery", metavar="DIR", type=Path, help=f"to time: made by rrzoo index FOLDER --model {MODELS[0]} --out DIR"
    )
    parser.add_argument(
        "--work", metavar="DIR", type=Path, default=Path("duplicates"), help="for pictures and galleries"
    )
    options = parser.parse_args(argv)
    if options.what == "time":
        if options.gallery is None:
            parser.error("time needs a gallery: add --gallery DIR")
        timed(options.gallery)
    else:
        options.work.mkdir(parents=True, exist_ok=True)
        {"fit": fit, "measure": measure}[options.what](options.work)


if __name__ == "__main__":
    main()
