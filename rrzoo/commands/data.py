"""List the data sets; or fetch one, decode it into the cache and describe it."""

import argparse
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets
from rrzoo.commands.progress import decoding, mover, print_skipped
from rrzoo.datasets import download

STOPPED = "the same command goes on from what is whole"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", metavar="NAME", nargs="?", help=f"{', '.join(datasets.names())}; or dir: and a path")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--download", action="store_true", help="fetch it first, unless it is there")
    parser.add_argument("--mirror", metavar="URL", help="another address of the archive to fetch")
    parser.add_argument("--skip-broken", action="store_true", help="leave out and count images that can't be read")


def run(options: argparse.Namespace) -> None:
    """List all data sets, or fetch one, decode it into the cache and describe it."""
    if options.name is None:
        for name in datasets.names():
            print(f"{name:<16}{', '.join(datasets.splits(name))}")
        return
    if options.download:
        with tqdm(desc=f"fetching {options.name}", unit="B", unit_scale=True, dynamic_ncols=True, delay=0.2) as bar:
            root = options.data or datasets.data_root()
            folder = download.fetch(options.name, root, options.mirror, mover(bar))
        print(f"{options.name} is in {folder}")
    for split in datasets.labelled_splits(options.name):
        labelled = _describe(split, options)
    print(f"mean {labelled.mean}, deviation {labelled.std}: {labelled.statistics}")
    print(f"licence: {labelled.licence}")
    for split in datasets.splits(options.name):
        if split not in datasets.labelled_splits(options.name):  # last, since some copies come without it
            _describe(split, options)


def _describe(split: str, options: argparse.Namespace) -> datasets.Dataset:
    """Load a split, and say what is in it."""
    dataset = datasets.load(options.name, split, options.data, decoding, options.skip_broken)
    labels = "no labels" if dataset.labels is None else f"{len(dataset.classes)} classes"
    print(f"{split}: {len(dataset):,} images, {labels}, {dataset.description}")
    print_skipped(dataset.skipped)
    return dataset
