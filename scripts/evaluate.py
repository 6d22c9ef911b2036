#!/usr/bin/env python
"""Measure models of the zoo on any labelled data set: the command `rrzoo evaluate`, from a clone."""

import startup  # noqa: F401  # isort: skip  # before torch loads

from collections.abc import Sequence

from rrzoo import commands


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; SystemExit says with which status it ends, if not with 0."""
    commands.run("evaluate", argv, prog="python scripts/evaluate.py")


if __name__ == "__main__":
    main()
