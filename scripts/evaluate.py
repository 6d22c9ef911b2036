#!/usr/bin/env python
"""Measure a model of the zoo on any labelled data set: linear probe and nearest neighbours on frozen features.

Where the data set has predefined folds, as STL-10 has, one probe is fitted to each and mean ± deviation is given too.
"""

import threads  # noqa: F401  # isort: skip  # before torch loads

import argparse
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets, errors, evaluate, zoo


def main() -> None:
    """Measure and print; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="name in the zoo")
    parser.add_argument("dataset", metavar="DATASET", help=f"{', '.join(datasets.names())}")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    options = parser.parse_args()
    try:
        print(run(options.model, options.dataset, options.data))
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")


def run(name: str, dataset: str, root: Path | None) -> str:
    """Return a line for each measurement."""
    model = zoo.load(name)
    train = datasets.load(dataset, "train", root, progress)
    test = datasets.load(dataset, datasets.test_split(dataset), root, progress)
    train_features, test_features = model.features(train.images), model.features(test.images)
    data = train_features, train.known_labels, test_features, test.known_labels
    lines = [
        f"{name} on {test.description}: {len(train):,} images to fit to, {len(test):,} of {test.split} to measure on",
        f"linear probe           {evaluate.linear_probe_accuracy(*data):.2%}",
        f"20 nearest neighbours  {evaluate.knn_accuracy(*data):.2%}",
    ]
    if train.folds is not None:
        folds = evaluate.linear_probe_fold_accuracies(*data, train.folds)
        spread = f"{100 * folds.mean():.2f} ± {100 * folds.std(ddof=1):.2f}%"
        lines.append(f"linear probe, folds    {spread} (n = {len(folds)} folds of {train.folds.shape[1]:,} images)")
    return "\n".join(lines)


def progress(files: Iterable[Path], count: int) -> Iterable[Path]:
    """Show a bar while images are decoded for the first time."""
    return tqdm(files, "decoding", count, unit=" images", unit_scale=True, dynamic_ncols=True)


if __name__ == "__main__":
    main()
