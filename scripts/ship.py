#!/usr/bin/env python
"""Put a model of the zoo among those that ship with the package, rrzoo/models/.

Of a borrowed backbone whose weights are in a Python package, these are left out: the folder names the package.
"""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
from collections.abc import Sequence

from rrzoo import commands, weights, zoo
from rrzoo.store import model_folder, packaged


def main(argv: Sequence[str] | None = None) -> None:
    """Ship; SystemExit says with which status it ends, if not with 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="model of the zoo")
    options = parser.parse_args(argv)
    with commands.exit_statuses():
        folder = zoo.find(options.name)
        config = model_folder.read_config(folder)
        left_out = None
        if config.training and config.training.recipe and config.training.recipe.weights == "package":
            left_out = weights.package_of(config.architecture.backbone)
        packaged.rewrite(folder, zoo.SHIPPED / config.name, left_out)
        print(zoo.SHIPPED / config.name)


if __name__ == "__main__":
    main()
