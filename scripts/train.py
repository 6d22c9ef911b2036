#!/usr/bin/env python
"""Train a model of the zoo without labels, measure it, and export it: the command `rrzoo train`, from a clone."""

import startup  # noqa: F401  # isort: skip  # before torch loads

from collections.abc import Sequence

from rrzoo import commands


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; SystemExit says with which status it ends, if not with 0."""
    commands.run("train", argv, prog="python scripts/train.py")


if __name__ == "__main__":
    main()
