"""Find the images of a gallery that are most like one or several: similarity, relation score, label, source of each."""

import argparse
import json
import sys
from datetime import datetime

from rrzoo import errors, zoo
from rrzoo.commands.printing import printable
from rrzoo.commands.progress import image_bar, print_skipped, print_some, resumer
from rrzoo.gallery import stores

STOPPED = "the same command goes on from what is indexed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="file to search with; several ask one question")
    parser.add_argument("--not", metavar="IMAGE", action="append", dest="avoid", help="be unlike it; may be repeated")
    parser.add_argument("--model", metavar="NAME", help="model of the zoo (default: the best one on photographs)")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="one that rrzoo index built, or a folder of images (default: the model's own)",
    )
    parser.add_argument("--store", metavar="STORE", help="search in one that rrzoo index --store has filled")
    parser.add_argument("-k", metavar="N", type=int, default=12, help="number of results (12)")
    parser.add_argument("--rerank", action="store_true", help="sort the 100 nearest by the relation head's score")
    parser.add_argument("--least-score", metavar="S", type=float, default=-1.0, help="of a result, -1 to 1")
    parser.add_argument("--label", metavar="LABEL", help="that results have")
    parser.add_argument(
        "--newer", metavar="TIME", type=_time, help="files changed since then: 2024-06-30, or with T18:00"
    )
    parser.add_argument("--older", metavar="TIME", type=_time, help="files changed before then")
    parser.add_argument("--prefix", metavar="PATH", default="", help="with which the sources of results begin")
    parser.add_argument("--hide-copies", action="store_true", help="leave out the pictures themselves and their copies")
    parser.add_argument("--json", action="store_true", help="print one JSON list of objects")


def run(options: argparse.Namespace) -> None:
    """Print the nearest images."""
    if options.store:
        if options.gallery:
            raise errors.ArgumentError(f"--gallery {options.gallery} and --store {options.store} arrived: choose one")
        stores.place_of(options.store)
    searched = options.store or options.gallery
    model = zoo.load(options.model or zoo.best_model())
    if searched:
        with image_bar("indexing") as bar:
            gallery = zoo.open_gallery(model, searched, resumer(bar))
        print_skipped(gallery.skipped, sys.stderr)
        print_some(gallery.notes, sys.stderr)
    else:
        gallery = model.gallery()
    (hits,) = gallery.search(
        options.images,
        options.k,
        options.rerank,
        together=True,
        avoid=options.avoid,
        least_score=options.least_score,
        label=options.label,
        newer=options.newer,
        older=options.older,
        prefix=options.prefix,
        hide_copies=options.hide_copies,
    )
    if gallery.no_pictures:
        print(gallery.no_pictures, file=sys.stderr)
    if options.json:
        fields = ("score", "relation", "label", "source")
        print(json.dumps([{field: getattr(hit, field) for field in fields} for hit in hits], indent=1))
        return
    if not hits:
        print(f"none of the {len(gallery):,} images is what was asked for", file=sys.stderr)
        return
    width = max(len(hit.label or "-") for hit in hits)
    print(f"score  relation  {'label':<{width}}  source")
    for hit in hits:
        print(
            f"{hit.score:5.3f}  {_three_digits(hit.relation):>8}  {hit.label or '-':<{width}}  {printable(hit.source)}"
        )


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2024-06-30, or 2024-06-30T18:00") from None


def _three_digits(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"
