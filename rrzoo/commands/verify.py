"""Check that a model's files are those that were exported and that they give the same outputs here."""

import argparse
from pathlib import Path

from rrzoo import datasets, zoo
from rrzoo.commands.printing import printable
from rrzoo.commands.progress import decoding, image_bar, mover
from rrzoo.gallery import storage
from rrzoo.store import model_folder, verify

STOPPED = "nothing was changed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("model", metavar="NAME", help="model of the zoo; or hub:owner/name, or dir: and a path")
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        nargs="?",
        const=datasets.data_root(),
        help="measure the card's accuracy again, on data sets in this folder ($RRZOO_DATA)",
    )

    parser.add_argument("--gallery", metavar="NAME|FOLDER", help="check this gallery of the model instead")


def run(options: argparse.Namespace) -> None:
    """Check a model and its own gallery, or another gallery of it; what differs is an error."""
    if options.gallery:
        _check_gallery(zoo.find_gallery(options.model, options.gallery))
        return
    folder = zoo.whole_folder(options.model)
    outputs = verify.outputs(folder)
    print(f"{outputs.files} files have the SHA-256 that {model_folder.MANIFEST} lists")
    cpu = "the kind of CPU it was made on" if outputs.same_cpu else "another CPU than it was made on, or an unknown one"
    print(f"outputs differ by {outputs.difference:.2g} at most (allowed on {cpu}: {outputs.tolerance:g})")
    if (folder / storage.FOLDER / storage.MANIFEST).exists():
        _check_gallery(folder / storage.FOLDER)
    if options.data is None:
        return
    with image_bar("measuring") as bar:
        accuracy, images = verify.accuracy(folder, options.data, mover(bar), decoding)
    print(f"the linear probe names {accuracy:.2%} of {images} right, as its card says")


def _check_gallery(folder: Path) -> None:
    manifest = storage.check(folder).manifest
    print(
        f"{manifest.rows:,} rows of the gallery in {printable(str(folder))} are whole: {len(manifest.files)} files "
        "have the SHA-256 of their manifest"
    )
