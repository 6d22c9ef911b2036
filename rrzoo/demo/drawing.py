"""Pictures as HTML. They travel inside the page, so that nothing a visitor sees becomes a file on the server's disk."""

import base64
import html
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from rrzoo.gallery.duplicates import CopyGroup

SIDE = 192  # px, the longer side of a picture in the page


def data_uri(picture: np.ndarray | Image.Image) -> str:
    """Return a picture, uint8 (H, W, 3) or PIL, as the address of a JPEG of at most 192 px."""
    small = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture.copy()
    small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def image(picture: np.ndarray | Image.Image, alt: str) -> str:
    """Draw one picture; `alt` says what it is."""
    return f'<img src="{data_uri(picture)}" alt="{html.escape(alt)}">'


def grid(
    pictures: Sequence[np.ndarray | Image.Image | None],
    captions: Sequence[str],
    name: str,
    small: bool = False,
    first: int = 0,
) -> str:
    """Draw pictures as buttons that send their number, when clicked; a small grid hides its captions.

    Args:
        pictures: N; of None, the caption stands alone, and is no button.
        captions: N lines, the alternative texts too.
        name: what the pictures are, for those who don't see them.
        small: as a row of examples.
        first: number that the first button sends.
    """
    cells = ""
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True), first):
        text = html.escape(caption)
        if picture is None:
            cells += f'<li class="alone"><span>{text}</span></li>'
            continue
        visible = "" if small else f"<span>{text}</span>"
        cells += f'<li><button type="button" data-index="{number}" title="{text}">{image(picture, caption)}{visible}'
        cells += "</button></li>"
    return f'<ul class="pictures{" small" if small else ""}" aria-label="{html.escape(name)}">{cells}</ul>'


def groups(found: Sequence[CopyGroup], thumbnail: Callable[[int], Image.Image]) -> tuple[str, list[int]]:
    """Draw groups of copies, the best of each first; return the row of each button, too."""
    markup = ""
    rows: list[int] = []
    for number, group in enumerate(found, 1):
        pictures = [thumbnail(copy.row) for copy in group.copies]
        captions = [f"{copy.source} · {copy.probability:.2f}" for copy in group.copies]
        markup += f"<h3>{number}: {len(group.copies)} pictures</h3>"
        markup += grid(pictures, captions, f"Copies, group {number}", first=len(rows))
        rows += [copy.row for copy in group.copies]
    return markup, rows


def notice(sentence: str) -> str:
    """Draw a sentence that stands where a result would."""
    return f'<p class="notice">{html.escape(sentence)}</p>'
