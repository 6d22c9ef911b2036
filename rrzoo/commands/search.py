"""Find the images of a gallery that are most like one: cosine similarity, relation score, label and source of each."""

import argparse
import json
import sys

from rrzoo import zoo
from rrzoo.commands.printing import printable
from rrzoo.commands.progress import image_bar, mover

STOPPED = "nothing was kept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("image", metavar="IMAGE", help="file to search with")
    parser.add_argument("--model", metavar="NAME", required=True, help="model of the zoo")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="one that rrzoo index built, or a folder of images (default: the model's own)",
    )
    parser.add_argument("-k", metavar="N", type=int, default=12, help="number of results (12)")
    parser.add_argument("--rerank", action="store_true", help="sort the 100 nearest by the relation head's score")
    parser.add_argument("--json", action="store_true", help="print one JSON list of objects")


def run(options: argparse.Namespace) -> None:
    """Print the nearest images."""
    model = zoo.load(options.model)
    if options.gallery:
        with image_bar("indexing") as bar:
            gallery = zoo.open_gallery(model, options.gallery, mover(bar))
    else:
        gallery = model.gallery()
    (hits,) = gallery.search(options.image, options.k, options.rerank)
    if gallery.no_pictures:
        print(gallery.no_pictures, file=sys.stderr)
    if options.json:
        fields = ("score", "relation", "label", "source")
        print(json.dumps([{field: getattr(hit, field) for field in fields} for hit in hits], indent=1))
        return
    width = max(len(hit.label or "-") for hit in hits)
    print(f"score  relation  {'label':<{width}}  source")
    for hit in hits:
        print(
            f"{hit.score:5.3f}  {_three_digits(hit.relation):>8}  {hit.label or '-':<{width}}  {printable(hit.source)}"
        )


def _three_digits(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"
