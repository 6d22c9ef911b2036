"""Pictures as HTML. They travel inside the page, so that nothing a visitor sees becomes a file on the server's disk."""

import base64
import html
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from rrzoo.gallery.duplicates import CopyGroup

SIDE = 192  # px, the longer side of a picture in the page
CLOSER = (  # a magnifying glass
    '<svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="7" cy="7" r="4.5"/><path d="M10.5 10.5 L14 14"/></svg>'
)


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
    titles: Sequence[str] = (),
) -> str:
    """Draw pictures as buttons that send their number, when clicked; a small grid hides its captions.

    Args:
        pictures: N; of None, the caption stands alone, and is no button.
        captions: N lines, the alternative texts too.
        name: what the pictures are, for those who don't see them.
        small: as a row of examples.
        first: number that the first button sends.
        titles: N lines, each with more than the caption; then each picture has a button that shows it large, with it.
    """
    cells = ""
    for number, (picture, caption, more) in enumerate(zip(pictures, captions, titles or captions, strict=True), first):
        text, title = html.escape(caption), html.escape(more)
        if picture is None:
            cells += f'<li class="alone"><span>{text}</span></li>'
            continue
        # the caption, where it is seen, names the button: the picture need not say it again
        shown = image(picture, caption) if small else f"{image(picture, '')}<span>{text}</span>"
        cells += f'<li><button type="button" data-index="{number}" title="{title}">{shown}</button>'
        if titles:
            cells += f'<button type="button" class="closer" aria-label="Look closer: {text}">{CLOSER}</button>'
        cells += "</li>"
    return f'<ul class="pictures{" small" if small else ""}" aria-label="{html.escape(name)}">{cells}</ul>'


def groups(found: Sequence[CopyGroup], thumbnail: Callable[[int], Image.Image]) -> tuple[str, list[int]]:
    """Draw groups of copies, the best of each first; return the row of each button, too."""
    markup = ""
    rows: list[int] = []
    for number, group in enumerate(found, 1):
        pictures = [thumbnail(copy.row) for copy in group.copies]
        captions = [f"{copy.source} · {copy.probability:.2f}" for copy in group.copies]
        markup += f"<h3>{number}: {group.title}</h3>"
        markup += grid(pictures, captions, f"Copies, group {number}", first=len(rows))
        rows += [copy.row for copy in group.copies]
    return markup, rows


def notice(sentence: str) -> str:
    """Draw a sentence that stands where a result would."""
    return f'<p class="notice">{html.escape(sentence)}</p>'


def refusal(sentence: str) -> str:
    """Draw, where a result would stand, why there is none; who does not see the page is told at once."""
    return f'<p class="notice" role="alert">{html.escape(sentence)}</p>'
