"""A map as one HTML file that needs nothing else: points, and thumbnails where one zooms in."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrzoo import errors, files
from rrzoo.gallery.gallery import Gallery
from rrzoo.gallery.map.layout import Layout, groups
from rrzoo.progress import OnProgress

TEMPLATE = Path(__file__).with_name("page.html")
SIDES = ((10_000, 64), (30_000, 40), (100_000, 24))  # up to so many pictures, px of a thumbnail: below 70 MB in all
COLUMNS = 40  # thumbnails in a row of a sheet, which is square
STEPS = 1024  # to a side, by which neighbours come onto one sheet


def page(
    gallery: Gallery,
    layout: Layout,
    title: str,
    query: tuple[float, float] | None = None,
    progress: OnProgress | None = None,
) -> str:
    """Return the page.

    Args:
        gallery: whose pictures are shown; where there are `no_pictures`, points and groups alone.
        layout: of it.
        title: above it.
        query: where a picture falls that is no part of it, 0 to 1 each: a cross.
        progress: called with thumbnails done and thumbnails in all.
    """
    order = np.argsort(_z_order(layout.places), kind="stable")
    rows, places = layout.rows[order], layout.places[order]
    labels = gallery.labels[rows]
    side = next(side for most, side in SIDES if len(rows) <= most)
    sheets = [] if gallery.no_pictures else _sheets(gallery, rows, side, progress)
    named = [[group.label, round(group.x, 4), round(group.y, 4)] for group in groups(places, labels, gallery.classes)]
    data = {
        "places": np.round(places, 4).ravel().tolist(),
        "labels": labels.tolist(),
        "classes": list(gallery.classes),
        "names": [gallery.sources[row].encode("utf-8", "replace").decode() for row in rows.tolist()],
        "groups": named,
        "sheets": sheets,
        "side": side,
        "columns": COLUMNS,
        "query": query,
        "note": gallery.no_pictures,
    }
    return TEMPLATE.read_text().replace("{title}", html.escape(title)).replace("{data}", _script_json(data))


def write_page(path: Path, gallery: Gallery, layout: Layout, title: str, progress: OnProgress | None = None) -> None:
    """Write the page to a file.

    Raises:
        errors.GalleryError: the file can't be written.
    """
    try:
        files.write(path, page(gallery, layout, title, progress=progress))
    except OSError as problem:
        raise errors.GalleryError(f"{path} can't be written ({problem}): name another file") from None


def _script_json(data: Any) -> str:
    """Return JSON that may stand within a script element: nothing in it ends that element."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _z_order(places: np.ndarray) -> np.ndarray:
    """Return a number for each place, float (M, 2), so that near places mostly have near numbers."""
    x, y = np.minimum((places * STEPS).astype(np.int64), STEPS - 1).T
    bits = np.arange(10)
    spread = [((axis[:, None] >> bits & 1) << (2 * bits)).sum(1) for axis in (x, y)]
    found: np.ndarray = spread[0] | spread[1] << 1
    return found


def _sheets(gallery: Gallery, rows: Sequence[int] | np.ndarray, side: int, progress: OnProgress | None) -> list[str]:
    """Return the thumbnails of rows, each scaled to a square, on sheets of 1,600, as data: addresses of WebP files."""
    sheets, each = [], COLUMNS**2
    for start in range(0, len(rows), each):
        some = rows[start : start + each]
        sheet = Image.new("RGB", (COLUMNS * side, -(-len(some) // COLUMNS) * side))
        for number, row in enumerate(some):
            picture = gallery.thumbnail(int(row))
            edge = min(picture.size)
            left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
            box = (left, top, left + edge, top + edge)
            place = (number % COLUMNS * side, number // COLUMNS * side)
            sheet.paste(picture.resize((side, side), Image.Resampling.BILINEAR, box), place)
        file = io.BytesIO()
        sheet.save(file, "WEBP", quality=70)
        sheets.append(f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}")
        if progress:
            progress(start + len(some), len(rows))
    return sheets
