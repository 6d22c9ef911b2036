"""Build a gallery of a data set or of a folder of images, to search in; of a folder, only what is new is read."""

import argparse
import time
from pathlib import Path

from rrzoo import datasets, errors, zoo
from rrzoo.commands.progress import decoding, image_bar, mover, print_skipped, resumer
from rrzoo.gallery import Gallery

STOPPED = "the same command goes on from what is whole"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("source", metavar="SOURCE", help="a data set (see: rrzoo data), or a folder of images")
    parser.add_argument("--model", metavar="NAME", required=True, help="model of the zoo whose features are indexed")
    parser.add_argument("--split", metavar="SPLIT", help="of the data set; default: all that have labels")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write to, instead of into the zoo")
    parser.add_argument("--skip-broken", action="store_true", help="leave out and count images that can't be read")


def run(options: argparse.Namespace) -> None:
    """Build a gallery and save it; of a folder, read only what is new or changed."""
    model = zoo.load(options.model)
    skipped: list[str] = []
    begun = time.perf_counter()
    is_folder = options.source not in datasets.names() and Path(options.source).is_dir()
    if is_folder:
        if options.split:
            raise errors.ArgumentError(f"--split {options.split}: a folder has no splits; name a folder in it")
        name = Path(options.source).resolve().name
        folder = options.out or zoo.gallery_folder(options.model, name)
        with image_bar("indexing") as bar:
            gallery = Gallery.index_folder(model, options.source, folder, resumer(bar), options.skip_broken)
    else:
        splits = [options.split] if options.split else datasets.labelled_splits(options.source)
        sources = [
            datasets.load(options.source, split, options.data, decoding, options.skip_broken) for split in splits
        ]
        name = f"{options.source}-{options.split}" if options.split else options.source
        folder = options.out or zoo.gallery_folder(options.model, name)
        skipped += [path for dataset in sources for path in dataset.skipped]
        with image_bar("indexing") as bar:
            gallery = Gallery.build(model, sources, mover(bar))
        gallery.save(folder)
    seconds, embedded = time.perf_counter() - begun, bar.n - bar.initial
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        f"{len(gallery):,} images of {gallery.description or options.source} in {seconds:.1f} s "
        f"({embedded:,} read, {embedded / seconds:,.0f} images/s), {size / 1e6:,.1f} MB in {folder}"
    )
    print_skipped((*skipped, *gallery.skipped))
    arguments = f"--model {options.model} --gallery {options.out or name}"
    print(f"search it with: python -m rrzoo demo {arguments}, or python -m rrzoo search IMAGE {arguments}")
