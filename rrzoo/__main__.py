"""What a user does with a zoo that is there: list and fetch data sets, index them and folders, search, verify."""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets, errors, zoo
from rrzoo.datasets import download
from rrzoo.gallery import Gallery
from rrzoo.progress import OnProgress
from rrzoo.store import model_folder, verify


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(prog="python -m rrzoo", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_data(commands.add_parser("data", help="list data sets; or fetch, decode and describe one"))
    _add_index(commands.add_parser("index", help="build a gallery of a data set or a folder, to search in"))
    _add_verify(commands.add_parser("verify", help="check a model's files and outputs, and measure its accuracy again"))
    _add_search(commands.add_parser("search", help="find the images of a gallery that are most like one"))
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped: the same command goes on from what is whole\n")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=data)
    parser.add_argument("name", metavar="NAME", nargs="?", help=f"{', '.join(datasets.names())}; or dir: and a path")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--download", action="store_true", help="fetch it first, unless it is there")
    parser.add_argument("--mirror", metavar="URL", help="another address of the archive to fetch")
    parser.add_argument("--skip-broken", action="store_true", help="leave out and count images that can't be read")


def data(options: argparse.Namespace) -> None:
    """List all data sets, or fetch one, decode it into the cache and describe it."""
    if options.name is None:
        for name in datasets.names():
            print(f"{name:<16}{', '.join(datasets.splits(name))}")
        return
    if options.download:
        with tqdm(desc=f"fetching {options.name}", unit="B", unit_scale=True, dynamic_ncols=True, delay=0.2) as bar:
            root = options.data or datasets.data_root()
            folder = download.fetch(options.name, root, options.mirror, _move(bar))
        print(f"{options.name} is in {folder}")
    for split in datasets.splits(options.name):
        loaded = datasets.load(options.name, split, options.data, _decoding, options.skip_broken)
        labels = "no labels" if loaded.labels is None else f"{len(loaded.classes)} classes"
        print(f"{split}: {len(loaded):,} images, {labels}, {loaded.description}")
        _print_skipped(loaded.skipped)
    print(f"mean {loaded.mean}, deviation {loaded.std}: {loaded.statistics}")
    print(f"licence: {loaded.licence}")


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=index)
    parser.add_argument(
        "source", metavar="SOURCE", help="a data set (see: python -m rrzoo data), or a folder of images"
    )
    parser.add_argument("--model", metavar="NAME", required=True, help="model of the zoo whose features are indexed")
    parser.add_argument("--split", metavar="SPLIT", help="of the data set; default: all that have labels")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write to, instead of into the zoo")
    parser.add_argument("--skip-broken", action="store_true", help="leave out and count images that can't be read")


def index(options: argparse.Namespace) -> None:
    """Build a gallery and save it; of a folder, read only what is new or changed."""
    model = zoo.load(options.model)
    skipped: list[str] = []
    started = time.perf_counter()
    of_folder = options.source not in datasets.names() and Path(options.source).is_dir()
    if of_folder:
        if options.split:
            raise errors.ArgumentError(f"--split {options.split}: a folder has no splits; name a folder in it")
        name = Path(options.source).resolve().name
        folder = options.out or zoo.gallery_folder(options.model, name)
        with _indexing() as bar:
            gallery = Gallery.index_folder(model, options.source, folder, _go_on(bar), options.skip_broken)
    else:
        splits = [options.split] if options.split else datasets.labelled_splits(options.source)
        sources = [
            datasets.load(options.source, split, options.data, _decoding, options.skip_broken) for split in splits
        ]
        name = f"{options.source}-{options.split}" if options.split else options.source
        folder = options.out or zoo.gallery_folder(options.model, name)
        skipped += [path for dataset in sources for path in dataset.skipped]
        with _indexing() as bar:
            gallery = Gallery.build(model, sources, _move(bar))
        gallery.save(folder)
    seconds, embedded = time.perf_counter() - started, bar.n - bar.initial
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(
        f"{len(gallery):,} images of {gallery.description or options.source} in {seconds:.1f} s "
        f"({embedded:,} read, {embedded / seconds:,.0f} images/s), {size / 1e6:,.1f} MB in {folder}"
    )
    _print_skipped((*skipped, *gallery.skipped))
    asked = f"--model {options.model} --gallery {options.out or name}"
    print(f"search it with: python app.py {asked}, or python -m rrzoo search IMAGE {asked}")


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=search)
    parser.add_argument("image", metavar="IMAGE", help="file to search with")
    parser.add_argument("--model", metavar="NAME", required=True, help="model of the zoo")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="one that python -m rrzoo index built, or a folder of images (default: the model's own)",
    )
    parser.add_argument("-k", metavar="N", type=int, default=12, help="number of results (12)")
    parser.add_argument("--rerank", action="store_true", help="sort the 100 nearest by the relation head's score")
    parser.add_argument("--json", action="store_true", help="print one JSON list of objects")


def search(options: argparse.Namespace) -> None:
    """Print the nearest images: cosine similarity, relation score, label, source."""
    model = zoo.load(options.model)
    if options.gallery:
        with _indexing() as bar:
            gallery = zoo.open_gallery(model, options.gallery, _move(bar))
    else:
        gallery = model.gallery()
    (hits,) = gallery.search(options.image, options.k, options.rerank)
    if options.json:
        fields = ("score", "relation", "label", "source")
        print(json.dumps([{field: getattr(hit, field) for field in fields} for hit in hits], indent=1))
        return
    width = max(len(hit.label or "-") for hit in hits)
    print(f"score  relation  {'label':<{width}}  source")
    for hit in hits:
        print(f"{hit.score:5.3f}  {_three_digits(hit.relation):>8}  {hit.label or '-':<{width}}  {hit.source}")


def _three_digits(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def _indexing() -> tqdm:
    return tqdm(desc="indexing", unit=" images", unit_scale=True, dynamic_ncols=True, delay=0.2)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=verify_model)
    parser.add_argument("model", metavar="NAME", help="model of the zoo; or hub:owner/name, or dir: and a path")
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        nargs="?",
        const=datasets.data_root(),
        help="measure the card's accuracy again, on data sets in this folder ($RRZOO_DATA)",
    )


def verify_model(options: argparse.Namespace) -> None:
    """Check a model; what differs is an error."""
    folder = zoo.whole_folder(options.model)
    found = verify.outputs(folder)
    print(f"{found.files} files have the SHA-256 that {model_folder.MANIFEST} lists")
    cpu = "the kind of CPU it was made on" if found.same_cpu else "another CPU than it was made on, or an unknown one"
    print(f"outputs differ by {found.difference:.2g} at most (allowed on {cpu}: {found.tolerance:g})")
    if options.data is None:
        return
    with tqdm(desc="measuring", unit=" images", unit_scale=True, dynamic_ncols=True) as bar:
        measured, images = verify.accuracy(folder, options.data, _move(bar), _decoding)
    print(f"the linear probe names {measured:.2%} of {images} right, as its card says")


def _print_skipped(skipped: tuple[str, ...]) -> None:
    if skipped:
        print(f"{len(skipped):,} images could not be read and are left out, the first: {skipped[0]}")


def _decoding(files: Iterable[Path], count: int) -> Iterable[Path]:
    return tqdm(files, "decoding", count, unit=" images", unit_scale=True, dynamic_ncols=True)


def _go_on(bar: tqdm) -> OnProgress:
    """Move a bar whose first call tells what earlier runs have done: no part of the images a second."""
    move = _move(bar)

    def go_on(done: int, total: int) -> None:
        if bar.total is None:
            bar.initial = bar.n = done
        move(done, total)

    return go_on


def _move(bar: tqdm) -> OnProgress:
    def move(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return move


if __name__ == "__main__":
    main()
