"""Find pictures of a folder that are copies: saved again, resized, cropped, framed, captioned, recoloured, mirrored.

The best of each group is proposed: most pixels, sharpest, least compressed. Pictures as alike as copies, but taken at
different moments, such as a burst, are listed as a series. Nothing is deleted, whatever the options.
"""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from rrzoo import errors, zoo
from rrzoo.commands.printing import printable
from rrzoo.commands.progress import image_bar, mover, print_skipped, print_some, resumer
from rrzoo.gallery import Gallery, shelf, stores
from rrzoo.gallery.duplicates import Copy, CopyGroup, evidence
from rrzoo.gallery.duplicates.page import describe, link, write_page

STOPPED = "the same command goes on from what is indexed; nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of pictures; it is indexed, as rrzoo index does")
    parser.add_argument("--model", metavar="NAME", help="model of the zoo (default: the best one on photographs)")
    parser.add_argument("--store", metavar="STORE", help="keep the gallery there: see rrzoo index --store")
    parser.add_argument(
        "--precision",
        metavar="P",
        type=float,
        default=0.99,
        help="share of the pairs listed that are to be copies (0.99); less finds more",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list of groups, each a list of objects")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page of thumbnails, too")
    parser.add_argument("--links", metavar="DIR", type=Path, help="make a folder of links, one folder a group, too")


def run(options: argparse.Namespace) -> None:
    """Print the groups."""
    if not options.folder.is_dir():
        raise errors.ArgumentError(f"{options.folder} is not a folder: name one that holds pictures")
    if options.store:
        stores.place_of(options.store)
    model = zoo.load(options.model or zoo.best_model())
    evidence.judge_of(model.fingerprint).threshold(options.precision)  # refused now, not after the work
    if options.links and os.path.lexists(options.links):
        raise errors.ArgumentError(f"{options.links} is there already: name a new folder for the links")
    galleries = zoo.gallery_folder(model.name, "")
    with image_bar("indexing") as bar:
        if options.store:
            gallery = stores.index_folder(model, options.folder, options.store, resumer(bar))
        else:
            saved = galleries / shelf.name_for(galleries, options.folder)
            gallery = Gallery.index_folder(model, options.folder, saved, resumer(bar))
    with image_bar("comparing") as bar:
        groups = gallery.duplicates(options.precision, options.folder, mover(bar))
    if options.html:
        title = f"{len(groups)} groups of copies and series in {options.folder.resolve().name}"
        write_page(options.html, groups, gallery.thumbnail, title)
    if options.links:
        link(options.links, groups, options.folder)
    if options.json:
        print(json.dumps([[_record(copy, group) for copy in group.copies] for group in groups], indent=1))
    else:
        _print_table(groups, len(gallery))
    with contextlib.redirect_stdout(sys.stderr):  # standard output holds the groups alone
        print_skipped(gallery.skipped)
        print_some(gallery.notes)


def _record(copy: Copy, group: CopyGroup) -> dict[str, object]:
    quality = copy.quality
    return {
        "source": copy.source,
        "series": group.series,
        "probability": round(copy.probability, 4),
        "width": quality and quality.width,
        "height": quality and quality.height,
        "bytes": quality and quality.bytes,
        "sharpness": quality and round(quality.sharpness, 4),
    }


def _print_table(groups: list[CopyGroup], count: int) -> None:
    for number, group in enumerate(groups, 1):
        print(f"{number}: {group.title}")
        for copy in group.copies:
            mark = "keep" if copy is group.best and not group.series else ""
            print(f"  {mark:4}  {printable(copy.source)}  {describe(copy)}")
    of_copies = [group for group in groups if not group.series]
    more, series = sum(len(group.copies) - 1 for group in of_copies), len(groups) - len(of_copies)
    print(
        f"{count:,} pictures, {len(of_copies):,} groups of copies, {more:,} beside the best of each, "
        f"{series:,} series; nothing was deleted"
    )
