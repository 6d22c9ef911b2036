"""Build a gallery of a data set or of a folder of images, to search in; of a folder, only what is new is read."""

import argparse
import contextlib
import os
import shlex
import time
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets, errors, ranks, zoo
from rrzoo.commands import computing
from rrzoo.commands.printing import printable
from rrzoo.commands.progress import decoding, image_bar, mover, print_skipped, print_some, resumer
from rrzoo.gallery import Gallery, cluster, indexing, listing, remote, shared, shelf, stores
from rrzoo.gallery.indexing import Batches
from rrzoo.model import Model

SOURCES = (
    "a folder of images; a data set (rrzoo data); or, with rrzoo[remote], s3://BUCKET/PREFIX and other addresses, "
    "WebDataset's shards (.tar) and Parquet tables; with rrzoo[lance], a table of LanceDB, lance:PATH/NAME.lance"
)
STORE = "write to LanceDB instead: lance:FOLDER, lance:s3://BUCKET/PATH or lance:gs://BUCKET/PATH (rrzoo[lance])"
RAY = (
    "embed on all nodes of a Ray cluster, HOST:PORT; without ADDRESS: $RAY_ADDRESS, or all cores of this machine "
    "(rrzoo[ray])"
)
STOPPED = "the same command goes on from what is whole"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("source", metavar="SOURCE", nargs="?", help=SOURCES)
    parser.add_argument("--model", metavar="NAME", help="model of the zoo (default: the best one on photographs)")
    parser.add_argument("--split", metavar="SPLIT", help="of the data set; default: all that have labels")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write to, instead of into the zoo")
    parser.add_argument("--store", metavar="STORE", help=STORE)
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave out files and folders of this name, or path within the folder, such as '*.gif'; may be repeated",
    )
    computing.add_arguments(parser)
    parser.add_argument("--ray", metavar="ADDRESS", nargs="?", const="", help=RAY)
    parser.add_argument("--strict", action="store_true", help="stop at an image that can't be read")
    parser.add_argument("--list", action="store_true", help="list the galleries that are there")
    parser.add_argument("--remove", metavar="GALLERY", help="remove a gallery of the model; the pictures stay")


def run(options: argparse.Namespace) -> None:
    """Build a gallery and save it; of a folder, read only what is new or changed. Or list galleries, or remove one."""
    if options.list or options.remove:
        ranks.this()  # raises where several are announced
    if options.list:
        _list(options.model)
        return
    options.model = options.model or zoo.best_model()
    if options.remove:
        shelf.remove(zoo.gallery_folder(options.model, ""), options.remove)
        print(
            f"the gallery {printable(options.remove)} of {options.model} is removed; its pictures are where they were"
        )
        return
    if not options.source:
        taken = f" ({options.ray} was taken as the address of --ray: write it before that)" if options.ray else ""
        raise errors.ArgumentError(
            f"nothing to index was named{taken}: give a folder of images, or a data set (rrzoo data)"
        )
    if options.store and options.out:
        raise errors.ArgumentError(f"--out {options.out} and --store {options.store} arrived: choose one place")
    if options.store:
        stores.place_of(options.store)
    if options.ray is not None:
        _index_on_cluster(options)
        return
    with computing.together(options, STOPPED):
        _index(options)


def _index_on_cluster(options: argparse.Namespace) -> None:
    ranks.this()  # raises where several are announced
    if not _is_folder(options.source):
        raise errors.ArgumentError(
            f"--ray takes what all nodes can read, a folder, an address, a shard or a table, and {options.source} is "
            "none of these: leave --ray away"
        )
    options.source = listing.absolute(options.source)  # nodes work in other folders
    with cluster.connected(options.ray, options.source, options.device) as nodes:
        print(nodes, flush=True)
        _index(options, nodes)


def _is_folder(source: str) -> bool:
    return source not in datasets.names() and (Path(source).is_dir() or remote.is_remote(source))


def _index(options: argparse.Namespace, nodes: cluster.Nodes | None = None) -> None:
    if options.store and ranks.this().count > 1:
        raise errors.ArgumentError(f"--store {options.store} is written by one process: index without torchrun")
    model = zoo.load(options.model, "cpu" if nodes else computing.device(options).where)
    begun = time.perf_counter()
    if nodes:
        with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):  # noqa: PTH123 - of Ray's remarks
            gallery, name, folder, bar = _of_folder(model, options, nodes.batches)
    else:
        gallery, name, folder, bar = (_of_folder if _is_folder(options.source) else _of_dataset)(model, options)
    if gallery is None:
        return
    seconds, embedded = time.perf_counter() - begun, bar.n - bar.initial
    place = options.store
    if folder is not None:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        place = f"{size / 1e6:,.1f} MB in {folder}"
    print(
        f"{len(gallery):,} images of {printable(gallery.description or options.source)} in {seconds:.1f} s "
        f"({embedded:,} read, {embedded / seconds:,.0f} images/s), {printable(place)}"
    )
    print_skipped(gallery.skipped)
    print_some(gallery.notes)
    arguments = f"--model {options.model} --gallery {printable(shlex.quote(str(options.out or name)))}"
    print(f"search it with: python -m rrzoo demo {arguments}, or python -m rrzoo search IMAGE {arguments}")


def _of_folder(
    model: Model, options: argparse.Namespace, batches_of: Batches = indexing.batches
) -> tuple[Gallery | None, str, Path | None, tqdm]:
    """Index a folder; return its gallery, on the first rank alone, name, folder where it is in one, and the bar."""
    if options.split:
        raise errors.ArgumentError(f"--split {options.split}: a folder has no splits; name a folder in it")
    arguments = options.strict, options.exclude
    if options.store:
        with image_bar("indexing") as bar:
            stored = stores.index_folder(model, options.source, options.store, resumer(bar), *arguments, batches_of)
        return stored, options.store, None, bar
    name = shelf.name_for(zoo.gallery_folder(options.model, ""), options.source)
    folder = options.out or zoo.gallery_folder(options.model, name)
    with image_bar("indexing") as bar:
        if ranks.this().count > 1:
            gallery = shared.index_folder(model, options.source, folder, resumer(bar), *arguments)
        else:
            gallery = Gallery.index_folder(model, options.source, folder, resumer(bar), *arguments, batches_of)
    return gallery, name, folder, bar


def _of_dataset(model: Model, options: argparse.Namespace) -> tuple[Gallery | None, str, Path | None, tqdm]:
    """Index a data set; return as `_of_folder` does."""
    if options.exclude:
        raise errors.ArgumentError("--exclude takes files out of a folder, and a data set is whole: leave it away")
    splits = [options.split] if options.split else datasets.labelled_splits(options.source)
    sources = [datasets.load(options.source, split, options.data, decoding, not options.strict) for split in splits]
    for dataset in sources:
        print_skipped(dataset.skipped)
    name = f"{options.source}-{options.split}" if options.split else options.source
    if options.store:
        with image_bar("indexing") as bar:
            stored = stores.index_datasets(model, sources, options.store, resumer(bar), options.strict)
        return stored, options.store, None, bar
    name = shelf.name_for_dataset(zoo.gallery_folder(options.model, ""), name)
    folder = options.out or zoo.gallery_folder(options.model, name)
    with image_bar("indexing") as bar:
        build = Gallery.build if ranks.this().count == 1 else shared.build
        gallery = build(model, sources, mover(bar), options.strict)
    if gallery is not None:
        gallery.save(folder)
    return gallery, name, folder, bar


def _list(model: str | None) -> None:
    """Print the galleries of one model, or of all."""
    top = zoo.gallery_folder("", "")
    models = [model] if model else sorted(path.name for path in top.glob("[!.]*"))
    lines = [(name, one) for name in models for one in shelf.listed(zoo.gallery_folder(name, ""))]
    for name, one in lines:
        rows = "-" if one.rows is None else f"{one.rows:,} images"
        print(f"{printable(one.name)}  {name}  {rows}  {printable(one.of)}")
    if not lines:
        print(f"no gallery is in {top}: build one with rrzoo index FOLDER --model NAME")
