"""Write a map of a gallery: one HTML file where pictures that are alike lie near each other, with thumbnails on zoom.

Where the gallery has labels, its largest groups are named by them. Of more than 500 pictures, the package pacmap finds
the positions: pip install 'rrzoo[map]'.
"""

import argparse
from pathlib import Path

from rrzoo import zoo
from rrzoo.commands.printing import printable
from rrzoo.commands.progress import image_bar, mover
from rrzoo.gallery.map import lay_out, write_page

STOPPED = "nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "gallery",
        metavar="GALLERY",
        nargs="?",
        help="one that rrzoo index built, a store (lance:FOLDER), or a folder of images (default: the model's own)",
    )
    parser.add_argument("--model", metavar="NAME", help="model of the zoo (default: the best one on photographs)")
    parser.add_argument("--html", metavar="FILE", type=Path, default=Path("map.html"), help="to write (map.html)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="another one gives another map (0)")


def run(options: argparse.Namespace) -> None:
    """Lay the gallery out, and write the page."""
    model = zoo.load(options.model or zoo.best_model())
    with image_bar("indexing") as bar:
        gallery = zoo.open_gallery(model, options.gallery, mover(bar)) if options.gallery else model.gallery()
    layout = lay_out(gallery, options.seed)
    title = f"Map of {printable(options.gallery or gallery.description or model.name)}"
    with image_bar("thumbnails") as bar:
        write_page(options.html, gallery, layout, title, mover(bar))
    if gallery.no_pictures:
        print(gallery.no_pictures)
    size = options.html.stat().st_size
    print(
        f"{len(layout.rows):,} of {len(gallery):,} pictures in {options.html}, {size / 1e6:,.1f} MB: "
        "open it in a browser"
    )
