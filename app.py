"""The demo: the command `rrzoo demo`, from a clone. A Hugging Face Space runs this file.

Where a gallery lies beside it, in `gallery/`, that is what is searched, and its model is what the page opens with.
"""

import sys
from pathlib import Path

from rrzoo import commands

OWN = Path(__file__).with_name("gallery")


def arguments(given: list[str], own: Path = OWN) -> list[str]:
    """Return the arguments of the demo, with the gallery that lies beside it, if there is one and none is named."""
    if not own.is_dir() or "--gallery" in given:
        return given
    from rrzoo.gallery import storage  # only now: this loads torch

    manifest = storage.read_manifest(own)
    named = "--model" in given or manifest is None
    return [*given, "--gallery", str(own), *([] if named else ["--model", str(manifest and manifest.model)])]


if __name__ == "__main__":
    commands.run("demo", arguments(sys.argv[1:]), prog="python app.py")
