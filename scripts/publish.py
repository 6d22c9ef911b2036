#!/usr/bin/env python
"""Upload models of the zoo, or the demo, to the Hugging Face Hub. Log in first: hf auth login.

Each model becomes the repository OWNER/NAME, private or not, in one commit, tagged. Where nothing changed, nothing is
committed. A card that a person has edited on the Hub stays, unless --replace-cards.

With --space the demo becomes a Space: a copy of app.py, of the package with the models that it ships, and of
requirements.txt and README.md, whose front matter Spaces read; of each, only files that git tracks. What was edited
there is replaced. --gallery adds one that rrzoo index built, or that was downloaded from a demo: the Space then opens
with its model, and searches in it.
"""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rrzoo import commands, errors, hub, zoo
from rrzoo.gallery import storage
from rrzoo.store import packaged

ROOT = Path(__file__).resolve().parent.parent
DEMO = ("app.py", "rrzoo", "requirements.txt", "README.md", "LICENSE", ".github/demo.png")


def main(argv: Sequence[str] | None = None) -> None:
    """Publish; SystemExit says with which status it ends, if not with 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="models of the zoo")
    parser.add_argument("--owner", metavar="ME", help="user or organisation to publish the models under")
    parser.add_argument("--space", metavar="ME/SPACE", help="publish the demo as this Space")
    parser.add_argument("--gallery", metavar="FOLDER", type=Path, help="with --space: what it shall search in")
    parser.add_argument("--tag", default="v1", help="version of the models; a tag is never moved (%(default)s)")
    parser.add_argument("--private", action="store_true", help="create private repositories")
    parser.add_argument("--dry-run", action="store_true", help="say what would be uploaded, without a request")
    parser.add_argument("--replace-cards", action="store_true", help="overwrite cards that were edited on the Hub")
    options = parser.parse_args(argv)
    if not options.names and not options.space:
        parser.error("nothing to publish: name models, or a Space with --space")
    if options.gallery and not options.space:
        parser.error("--gallery is for a Space: name one with --space")
    if options.names and not options.owner:
        parser.error("whose are the models? Name a user or an organisation with --owner")
    with commands.exit_statuses("what was committed stays; the same command commits only what is missing"):
        for name in options.names:
            source = hub.Source(f"{options.owner}/{name}", options.tag)
            with packaged.whole(zoo.find(name)) as folder:
                print(hub.publish(folder, source, options.private, options.dry_run, options.replace_cards))
        if options.space:
            owner = hub.Source(options.space).repository.split("/")[0]
            models = [f"{owner}/{folder.name}" for folder in zoo.SHIPPED.iterdir()]
            files = tracked_files() | (gallery_files(options.gallery) if options.gallery else {})
            print(hub.publish_space(files, options.space, models, options.private, options.dry_run))


def tracked_files() -> dict[str, bytes]:
    """Return path -> content of what a Space needs and git tracks, without what else may lie beside it.

    Raises:
        errors.ArgumentError: this is no git checkout, or a file is missing.
    """
    command = ["git", "ls-files", "-z", "--", *DEMO]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        files = {path: (ROOT / path).read_bytes() for path in listed.split("\0") if path}
    except (OSError, subprocess.CalledProcessError) as problem:
        raise errors.ArgumentError(
            f"what git tracks in {ROOT} can't be read ({problem}): publish a Space from a clone of the repository"
        ) from None
    if missing := [name for name in DEMO if name not in files and not any(p.startswith(f"{name}/") for p in files)]:
        raise errors.ArgumentError(f"git tracks no {', '.join(missing)} in {ROOT}: clone the repository again")
    return files


def gallery_files(folder: Path) -> dict[str, bytes]:
    """Return path -> content of a gallery as app.py looks for it.

    Raises:
        errors.GalleryError: there is none, or it is damaged.
    """
    names = storage.files(folder)
    if not names:
        raise errors.GalleryError(f"{folder} holds no gallery: name the folder of one that rrzoo index --out wrote")
    return {f"gallery/{name}": (folder / name).read_bytes() for name in names}


if __name__ == "__main__":
    main()
