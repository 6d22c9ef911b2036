#!/usr/bin/env python
"""Upload models of the zoo to the Hugging Face Hub. Log in first: hf auth login.

Each model becomes the repository OWNER/NAME, private or not, in one commit, tagged. Where nothing changed, nothing is
committed. A card that a person has edited on the Hub stays, unless --replace-cards.
"""

import threads  # noqa: F401  # isort: skip  # before torch loads

import argparse

from rrzoo import errors, hub, zoo


def main() -> None:
    """Publish; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="+", help="models of the zoo")
    parser.add_argument("--owner", metavar="ME", required=True, help="user or organisation to publish under")
    parser.add_argument("--tag", default="v1", help="version of the models; a tag is never moved (%(default)s)")
    parser.add_argument("--private", action="store_true", help="create private repositories")
    parser.add_argument("--dry-run", action="store_true", help="say what would be uploaded, without a request")
    parser.add_argument("--replace-cards", action="store_true", help="overwrite cards that were edited on the Hub")
    options = parser.parse_args()
    try:
        for name in options.names:
            source = hub.Source(f"{options.owner}/{name}", options.tag)
            folder = zoo.find(name)
            print(hub.publish(folder, source, options.private, options.dry_run, options.replace_cards))
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")


if __name__ == "__main__":
    main()
