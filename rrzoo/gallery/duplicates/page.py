"""Groups of copies for people: a page of thumbnails, and a folder of links."""

import base64
import html
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from rrzoo import errors, files
from rrzoo.gallery.duplicates.finding import Copy, CopyGroup

STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
:root { color-scheme: light dark }
section { border-top: 1px solid #8888; padding: .5rem 0; display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; width: 170px; overflow-wrap: anywhere; font-size: .8rem }
.copies figure:first-of-type img { outline: 3px solid #2a8c4a }
h2 { width: 100%; font-size: 1rem; margin: 0 }
img { display: block; max-width: 160px; margin: 4px 0 }
"""


def write_page(path: Path, groups: Sequence[CopyGroup], thumbnail: Callable[[int], Image.Image], title: str) -> None:
    """Write one HTML file that needs nothing else: each group in a row, the best one first.

    Raises:
        errors.GalleryError: the file can't be written.
    """
    parts = [
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>",
        "<p>The first of each row of copies, with a green frame, is proposed to be kept. Pictures of a series are",
        "alike, but were taken at different moments. Nothing was deleted.</p>",
    ]
    for number, group in enumerate(groups, 1):
        parts.append(f'<section class="{"series" if group.series else "copies"}"><h2>{number}: {group.title}</h2>')
        parts += [_figure(copy, thumbnail(copy.row)) for copy in group.copies]
        parts.append("</section>")
    try:
        files.write(path, "\n".join([*parts, "</html>", ""]))
    except OSError as problem:
        raise errors.GalleryError(f"{path} can't be written ({problem}): name another file") from None


def link(target: Path, groups: Sequence[CopyGroup], folder: Path) -> None:
    """Make a new folder with a folder of links for each group.

    0001/1-best-NAME, 0001/2-NAME, ..., and of a series 0002-series/1-NAME, ...

    Raises:
        errors.GalleryError: something is at `target` already, or it can't be written.
    """
    if os.path.lexists(target):
        raise errors.GalleryError(f"{target} is there already: name a new folder for the links")
    try:
        with files.new_folder(target) as new:
            for number, group in enumerate(groups, 1):
                inside = new / f"{number:04}{'-series' if group.series else ''}"
                inside.mkdir()
                for place, copy in enumerate(group.copies, 1):
                    name = f"{place}-{'best-' if place == 1 and not group.series else ''}{Path(copy.source).name}"
                    (inside / name).symlink_to((folder / copy.source).resolve())
    except OSError as problem:
        raise errors.GalleryError(f"links can't be made in {target} ({problem}): name another folder") from None


def describe(copy: Copy) -> str:
    """Return size, bytes and probability of a copy as text."""
    quality = copy.quality
    size = f"{quality.width} x {quality.height}, {quality.bytes / 1000:,.0f} kB, " if quality else ""
    return f"{size}p {copy.probability:.3f}"


def _figure(copy: Copy, picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=80)
    content = base64.b64encode(file.getvalue()).decode()
    name = html.escape(copy.source.encode("utf-8", "replace").decode())  # names of files may be no UTF-8
    return (
        f'<figure><img src="data:image/webp;base64,{content}" alt="{name}"><figcaption>{name}<br>'
        f"{describe(copy)}</figcaption></figure>"
    )
