"""The thumbnails that a gallery keeps, by row."""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from rrzoo import errors, images
from rrzoo.gallery.blobs import ByRow, Joined

SIDE = 160  # px, the longer one


class Thumbnails:
    """Thumbnails kept as WebP files."""

    absent = ""

    def __init__(self, files: ByRow) -> None:
        """Take the files."""
        self.files = files

    def __getitem__(self, row: int, /) -> Image.Image:
        """Decode one.

        Raises:
            errors.GalleryError: it is no WebP file of at most 160 px.
        """
        problem = "it is larger than 160 px"
        try:
            with Image.open(io.BytesIO(self.file(row)), formats=("WEBP",)) as opened:
                if max(opened.size) <= SIDE:
                    return opened.convert("RGB")
        except images.DECODING as reason:
            problem = str(reason)
        raise errors.GalleryError(f"the thumbnail of row {row} is damaged ({problem}): build the gallery anew")

    def file(self, row: int) -> bytes:
        """Return one as it is."""
        return self.files[row]

    @classmethod
    def join(cls, files: Iterable[bytes]) -> "Thumbnails":
        """Put files one after another."""
        return cls(Joined.of(files))

    @staticmethod
    def encode(image: np.ndarray) -> bytes:
        """Return uint8 (H, W, 3) as a WebP file of at most 160 px."""
        picture = Image.fromarray(image)
        picture.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=85)
        return file.getvalue()
