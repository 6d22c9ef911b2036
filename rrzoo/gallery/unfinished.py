"""What an interrupted run has indexed: `.unfinished/` beside a gallery's files, one safetensors file a batch."""

import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from rrzoo import files
from rrzoo.gallery import tensors, writing
from rrzoo.gallery.rows import Rows

FOLDER = ".unfinished"


class Unfinished:
    """The batches that unfinished runs of one model have left for the gallery in a folder."""

    def __init__(self, gallery: Path, fingerprint: str, source: str) -> None:
        """Look beside the files of a gallery for what is of the pictures in one folder, `source`."""
        self.gallery = gallery
        self.folder = gallery / FOLDER
        self.about = {"fingerprint": fingerprint, "source": source}

    def known(self) -> Iterator[Rows]:
        """Yield the batches; what is of another model or can't be read is left out.

        Labels are numbers of the classes that the folder had then.
        """
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                about = tensors.metadata(path)
                content = {name: np.array(tensor) for name, tensor in tensors.mapped(path).items()}
                rows = Rows.from_tensors(content, sys.maxsize)
                rows.check()
            except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError):
                continue
            if about == self.about:
                yield rows

    def add(self, rows: Rows) -> None:
        """Keep one more batch of a folder's images.

        Raises:
            errors.GalleryError: the folder can't be written, or there is no room.
        """
        name = f"{uuid.uuid4().hex}.safetensors"  # two runs at once must not meet
        try:
            with files.new_file(self.folder / name) as path:
                tensors.write(path, rows.tensors(), self.about)
        except OSError as problem:
            raise writing.cannot_write(self.folder, problem) from None

    def clear(self) -> None:
        """Remove all batches."""
        shutil.rmtree(self.folder, ignore_errors=True)
