"""Pictures of any sizes as squares of one."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageOps

SOFTLY = "bilinear"


def to_square(
    images: Iterable[np.ndarray],
    size: int,
    source_size: int | None = None,
    crop: float = 1.0,
    interpolation: str = "bicubic",
) -> np.ndarray:
    """Return uint8 images (H, W, 3) of any sizes as one array (N, size, size, 3): scaled to cover, centre kept.

    Scaling has a support that grows with the reduction (no aliasing). Images of the right size are passed on unchanged
    where `crop` is 1.

    Args:
        images: uint8 (H, W, 3).
        size: px.
        source_size: px; images whose shorter side is larger are reduced to it first, so that none has more detail than
            pictures of that size have. Bilinear, whatever `interpolation` is: what was learnt from small pictures
            names more softly reduced photographs right than crisply reduced ones.
        crop: share of the side of the centre square that is kept, above 0 and up to 1.
        interpolation: "bicubic" or "bilinear".
    """
    squares = []
    for image in images:
        if source_size is not None and min(image.shape[:2]) > source_size:
            image = _fit(image, source_size, interpolation=SOFTLY)
        squares.append(_fit(image, size, crop, interpolation))
    return np.stack(squares) if squares else np.empty((0, size, size, 3), np.uint8)


def limit_detail(images: np.ndarray, source_size: int | None) -> np.ndarray:
    """Return uint8 images (N, H, W, 3) as they are or, if larger than that, as squares of `source_size`, px."""
    if source_size is None or min(images.shape[1:3]) <= source_size:
        return images
    return to_square(images, source_size, interpolation=SOFTLY)


def _fit(image: np.ndarray, size: int, crop: float = 1.0, interpolation: str = "bicubic") -> np.ndarray:
    if image.shape[:2] == (size, size) and crop == 1:
        return image
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(ImageOps.fit(Image.fromarray(image), (size, size), method, bleed=(1 - crop) / 2))
