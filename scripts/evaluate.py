#!/usr/bin/env python
"""Measure a model of the zoo on any labelled data set, on frozen features: linear probes, neighbours, retrieval.

The probe's regulariser is chosen on held-out training images; the paper's own probe stands beside it. Where the data
set has predefined folds, as STL-10 has, one probe is fitted to each and mean ± deviation is given too.
"""

import threads  # noqa: F401  # isort: skip  # before torch loads

import argparse
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets, errors, measure, zoo


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
    report = measure.measure(model, train, test)
    lines = [f"{name} on {report.data}: {report.train_images:,} images to fit to, {report.test_images:,} to measure on"]
    rows = {f"linear probe, L2 {report.linear_probe_l2:g}": f"{report.linear_probe:.2%}"}
    rows["linear probe, the paper's (Adam, 100 epochs)"] = f"{report.paper_probe:.2%}"
    if report.folds is not None:
        rows["linear probe, folds"] = spread(report.folds, "folds")
    rows |= {f"linear probe, {share} of the labels": spread(s, "draws") for share, s in report.few_labels.items()}
    rows |= {f"{k} nearest neighbours": f"{accuracy:.2%}" for k, accuracy in report.knn.items()}
    rows |= {f"retrieval, {kind}": f"{value:.2%}" for kind, value in report.retrieval.items()}
    return "\n".join([*lines, *(f"{row:<46}{value}" for row, value in rows.items())])


def spread(values: measure.Spread, of: str) -> str:
    """Return mean ± standard deviation."""
    return f"{100 * values.mean:.2f} ± {100 * values.sd:.2f}% (n = {values.n} {of})"


def progress(files: Iterable[Path], count: int) -> Iterable[Path]:
    """Show a bar while images are decoded for the first time."""
    return tqdm(files, "decoding", count, unit=" images", unit_scale=True, dynamic_ncols=True)


if __name__ == "__main__":
    main()
