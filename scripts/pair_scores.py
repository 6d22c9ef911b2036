#!/usr/bin/env python
"""Measure what a relation head is for: on frozen features, against cosine and linear metrics, by pictures learnt from.

All that is fitted sees views of training pictures, without labels. Everything is measured on pictures held out.
"""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import rrzoo
from alterations import ALTERATIONS
from duplicates import near_copies
from pair_metrics import METRICS, Score, by_head, centred
from rrzoo import datasets, images, recipes, views
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.evaluation.calibration import calibration
from rrzoo.evaluation.relation_scores import BINS, auc
from rrzoo.gallery.searching import RERANKED
from rrzoo.training import fit_head, view_features

HELD_OUT, ALTERED = 1000, 150  # pictures of the test split; of them, those with altered copies
PICTURES = (100, 1000)  # that metrics and heads are fitted to; and as many as there are
STEP = 1000  # pictures whose features are computed in one go
SEEDS = 3  # heads and metrics of fewer than `MANY` pictures are of so many draws
MANY = 1000
FALSE_ALARMS = (1e-3, 1e-4)
Curve = tuple[float, float] | None  # slope and intercept that make logits of scores; None where they are some
LONGEST = 640  # px, of photographs from files


@dataclass(frozen=True)
class Held:
    """Features of H pictures that nothing is fitted to."""

    plain: np.ndarray  # float32 (H, D)
    embedded: np.ndarray  # float32 (H, E), what `Model.embed` gives
    one: np.ndarray  # float32 (H, D), of random views
    two: np.ndarray
    altered: np.ndarray  # float32 (13 A, D), copies of the first A pictures, kind by kind
    labels: np.ndarray  # int64 (H,); all -1 where there are none

    @property
    def originals(self) -> np.ndarray:
        """Return of which picture each copy is, int (13 A,)."""
        return np.tile(np.arange(len(self.altered) // len(ALTERATIONS)), len(ALTERATIONS))


def pictures_of(data: str, work: Path, most: int) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Return training pictures, and pictures held out with their labels.

    Where the training split holds fewer than `most`, test pictures that are not held out fill up.
    """
    train, test = (datasets.load(data, split) for split in ("train", "test"))
    near = near_copies(work, "test") if data == "stl10" else set()
    order = np.random.default_rng(0).permutation(len(test))
    clean = np.array([row for row in order if row not in near])
    held, others = clean[:HELD_OUT], clean[HELD_OUT:]
    rows = np.random.default_rng(0).permutation(len(train))[:most]
    learnt = np.concatenate([train.images[rows], test.images[others[: most - len(rows)]]])
    return replace(train, images=learnt, labels=None), test.images[held], test.require_labels()[held]


def recipe_for(model: rrzoo.Model, data: str) -> Recipe:
    """Return the recipe by which a head learns on a model's frozen features."""
    made_as = model.config.architecture
    return replace(
        recipes.recipe("lite0-stl10"),
        backbone=made_as.backbone,
        dataset=data,
        image_size=made_as.image_size,
        crop=made_as.crop,
        interpolation=made_as.interpolation,
        source_size=made_as.source_size,
    )


def altered_copies(pictures: Sequence[Image.Image]) -> list[np.ndarray]:
    """Return a copy of each, altered in each way, kind by kind."""
    return [
        np.asarray(alter(picture, np.random.default_rng([number, kind])).convert("RGB"))
        for kind, alter in enumerate(ALTERATIONS.values())
        for number, picture in enumerate(pictures)
    ]


def views_of(model: rrzoo.Model, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return features of two random views of each picture, float32 (2, H, D)."""
    made_as, parts = model.config.architecture, []
    statistics = torch.tensor(made_as.mean), torch.tensor(made_as.std)
    for number, picture in enumerate(pictures):
        pixels = torch.from_numpy(images.limit_detail(np.array(picture)[None], made_as.source_size)).permute(0, 3, 1, 2)
        drawn = views.draw(1, 0, np.array([number]), 2, *pixels.shape[2:])
        parts.append(views.make(pixels, drawn, made_as.image_size, *statistics))
    with torch.no_grad():
        features = torch.cat([model(part) for part in torch.split(torch.cat(parts), model.batch_size)])
    return np.ascontiguousarray(features.view(len(pictures), 2, -1).transpose(0, 1).numpy())


def photographs_in(folder: Path) -> list[np.ndarray]:
    """Return the pictures of a folder, reduced to sides of at most 640 px."""
    found = []
    for file in sorted(folder.iterdir()):
        picture = Image.open(file).convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        found.append(np.asarray(picture))
    return found


def learnt_features(recipe: Recipe, model: rrzoo.Model, train: Dataset, folder: Path) -> np.ndarray:
    """Return features of views, float16 (K, N, D); they are computed in blocks, of which those done are read."""
    folder.mkdir(exist_ok=True)
    blocks = []
    for start in range(0, len(train), STEP):
        file = folder / f"{start:05}.npy"
        if not file.exists():
            begun, partial = time.perf_counter(), folder / "partial.npy"
            part = replace(train, images=train.images[start : start + STEP])
            view_features(recipe, model.backbone, part, partial)
            partial.rename(file)
            print(f"six views of a picture: {(time.perf_counter() - begun) / len(part):.4f} s", flush=True)
        blocks.append(np.load(file))
    return np.concatenate(blocks, 1)


def held_features(model: rrzoo.Model, pixels: Sequence[np.ndarray], labels: np.ndarray, file: Path) -> Held:
    """Compute the features of pictures that are held out, or read them where that has been done."""
    if not file.exists():
        extracted = model.extract(pixels)
        copies = altered_copies([Image.fromarray(np.asarray(one)) for one in pixels[:ALTERED]])
        one, two = views_of(model, pixels)
        parts = extracted.relation, model.embed_features(extracted.pooled), one, two, model.features(copies), labels
        np.savez(file, *parts)
    with np.load(file) as kept:
        return Held(*(kept[name] for name in kept.files))


def measure(score: Score, held: Held, curve: Curve) -> dict[str, float]:
    """Measure a score of pairs.

    Args:
        score: of a metric.
        held: what it is measured on.
        curve: slope and intercept that make a logit of it; None where it is a logit.
    """
    slope, intercept = curve or (1.0, 0.0)
    count, found = len(held.plain), {}
    itself = np.eye(count, dtype=bool)
    of_views = score(held.one, held.two)
    found["same picture"] = auc(of_views[itself], of_views[~itself])
    rolled = np.concatenate([of_views[itself], np.diagonal(np.roll(of_views, 1, 1))])
    found["ECE, views"] = error(slope * rolled + intercept)
    alike = score(held.plain, held.plain)
    same = held.labels[:, None] == held.labels
    if (~same).any():
        found["same class"] = auc(alike[same & ~itself], alike[~same])
        found |= ranked(alike, held.labels)
    of_copies = score(held.altered, held.plain)  # (13 A, H)
    rows = np.arange(len(of_copies))
    own = of_copies[rows, held.originals]
    other = np.delete(of_copies.ravel(), rows * count + held.originals)
    found["altered"] = auc(own, other)
    found["first"] = float((own >= of_copies.max(1)).mean())
    for share in FALSE_ALARMS:
        alarms = round(share * len(other))
        if alarms:  # too few pairs say nothing
            found[f"at {share:g}"] = float((own > np.partition(other, -alarms)[-alarms]).mean())
    strange = np.random.default_rng(0).choice(other, len(own), replace=False)
    found["ECE, altered"] = error(slope * np.concatenate([own, strange]) + intercept)
    return found


def error(logits: np.ndarray) -> float:
    """Return the expected calibration error where the first half of the pairs are of one picture."""
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return calibration(probabilities, np.arange(len(logits)) < len(logits) // 2, BINS)[0]


def logistic(score: Score, learnt: np.ndarray) -> tuple[float, float]:
    """Fit slope and intercept that make a logit of a score (Platt 1999), to at most 1,000 pictures' views (K, N, D)."""
    pairs = score(learnt[1, :1000], learnt[2, :1000])
    scores = np.concatenate([np.diagonal(pairs), np.diagonal(np.roll(pairs, 1, 1))]).astype(np.float64)
    truth = np.arange(len(scores)) < len(pairs)
    scale = float(scores.std()) or 1.0
    x, weights = np.stack([scores / scale, np.ones(len(scores))], 1), np.zeros(2)
    for _ in range(30):  # Newton's method
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        weights -= np.linalg.solve(hessian, x.T @ (p - truth) + 1e-3 * weights)
    return float(weights[0] / scale), float(weights[1])


def fitted(recipe: Recipe, learnt: np.ndarray, run: Path) -> Iterator[tuple[str, Score, Curve, float]]:
    """Yield each metric, and the head, fitted to views (K, N, D), what makes logits of it, and the seconds it took."""
    for name, fit in METRICS.items():
        begun = time.perf_counter()
        score = fit(learnt)
        curve = None if name == "likelihood ratio (PLDA)" else logistic(score, learnt)
        yield name, score, curve, time.perf_counter() - begun
    run.mkdir(exist_ok=True)
    begun = time.perf_counter()
    head, _, _ = fit_head(replace(recipe, batch_size=min(recipe.batch_size, learnt.shape[1] // 2)), learnt, None, run)
    yield "relation head", by_head(head), None, time.perf_counter() - begun


def ranked(scores: np.ndarray, labels: np.ndarray, then: np.ndarray | None = None) -> dict[str, float]:
    """Return mAP and precision at 10 of hits by `scores` (H, H), of which the first are sorted again by `then`."""
    order = np.argsort(-scores - np.diag(np.full(len(scores), -np.inf)), 1, kind="stable")[:, :-1]
    if then is not None:
        first = order[:, :RERANKED]
        order[:, :RERANKED] = np.take_along_axis(first, np.argsort(-np.take_along_axis(then, first, 1), 1), 1)
    relevant = labels[order] == labels[:, None]
    precisions = relevant.cumsum(1) / np.arange(1, order.shape[1] + 1)
    average = (precisions * relevant).sum(1) / np.maximum(relevant.sum(1), 1)
    return {"mAP": float(average.mean()), "P@10": float(relevant[:, :10].mean())}


def compare(name: str, data: str, work: Path, most: int, photographs: Path | None) -> None:
    """Measure all on one model's features of one data set; print it, and add it to results.jsonl."""
    model = rrzoo.load(name)
    train, pixels, labels = pictures_of(data, work, most)
    train = replace(train, mean=model.config.architecture.mean, std=model.config.architecture.std)
    recipe = recipe_for(model, data)
    learnt = learnt_features(recipe, model, train, work / f"{name}-{data}")
    held = held_features(model, pixels, labels, work / f"{name}-{data}-held.npz")
    tests = {data: held}
    if photographs:
        pictures = photographs_in(photographs)
        none = np.full(len(pictures), -1)
        tests["photographs"] = held_features(model, pictures, none, work / f"{name}-photographs-held.npz")
    shipped, embedded = by_head(model.require_relation_head()), held.embedded @ held.embedded.T
    for test, of_test in tests.items():
        report(name, test, 0, 0, "head as it ships", measure(shipped, of_test, None), work)
    report(name, data, 0, 0, "embedding", ranked(embedded, labels), work)
    again = ranked(embedded, labels, shipped(held.plain, held.plain))
    report(name, data, 0, 0, "embedding, re-ranked", again, work)
    for count in dict.fromkeys((*(one for one in PICTURES if one < most), most)):
        for seed in range(SEEDS if count < MANY else 1):
            rows = np.random.default_rng(seed).permutation(learnt.shape[1])[:count]
            some = learnt[:, np.sort(rows)].astype(np.float32)
            first = centred(some)(held.plain, held.plain)
            for metric, score, curve, seconds in fitted(replace(recipe, seed=seed), some, work / "run"):
                for test, of_test in tests.items():
                    found = measure(score, of_test, curve) | {"seconds": seconds}
                    report(name, test, count, seed, metric, found, work)
            again = ranked(first, labels, score(held.plain, held.plain))
            report(name, data, count, seed, "centred, re-ranked by head", again, work)


def report(name: str, data: str, count: int, seed: int, metric: str, found: dict[str, float], work: Path) -> None:
    """Print one row of the table, and keep it."""
    print(f"{name:13} {data:7} {count:6} {seed} {metric:26}", *(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
    row = {"model": name, "data": data, "pictures": count, "seed": seed, "metric": metric} | found
    with (work / "results.jsonl").open("a") as kept:
        kept.write(json.dumps(row) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", help="one that has a relation head; may be repeated")
    parser.add_argument("--dataset", action="append", choices=("stl10", "cifar10"), help="may be repeated")
    parser.add_argument("--most", metavar="N", type=int, default=10_000, help="pictures to learn from at most")
    parser.add_argument("--photographs", metavar="DIR", type=Path, help="a folder of sharp ones to measure on, too")
    parser.add_argument("--work", metavar="DIR", type=Path, default=Path("pairs"), help="for features and results")
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    for data in options.dataset or ("stl10",):
        for name in options.model or ("lite0-stl10", "conv4x4-stl10"):
            compare(name, data, options.work, options.most, options.photographs)


if __name__ == "__main__":
    main()
