"""The map of what is searched: some of its pictures in two dimensions, and where the query falls."""

import html

import numpy as np

from rrzoo.demo.context import Context
from rrzoo.demo.once import once
from rrzoo.demo.query import Picked
from rrzoo.gallery import Gallery
from rrzoo.gallery.map import Layout, lay_out
from rrzoo.gallery.map import page as map_page
from rrzoo.gallery.map.layout import FEW

NEAREST = 5  # pictures on the map in whose middle its query falls


@once
def layout_of(gallery: Gallery) -> Layout:
    """Lay out a gallery, or 500 pictures of it; that takes three seconds, once."""
    return lay_out(gallery, most=FEW)


def frame(drawn: str, title: str) -> str:
    """Return a map's page within the demo's, where it can do nothing but draw."""
    return f'<iframe class="map" title="{title}" sandbox="allow-scripts" srcdoc="{html.escape(drawn)}"></iframe>'


def draw(context: Context, pictures: list[Picked], model_name: str) -> str:
    """Draw the map of what a visitor searches in, and a cross where his first picture falls, if there is one."""
    model, _ = context.get_model(model_name)
    gallery, _ = context.searched(model_name)
    layout = layout_of(gallery)
    query = None
    if pictures:
        similarities = gallery.unit()[layout.rows] @ model.embed(pictures[0].picture)[0]
        query = layout.of_query(layout.rows[np.argsort(-similarities)[:NEAREST]].tolist())
    some = f"{len(layout.rows):,} of " if len(layout.rows) < len(gallery) else ""
    title = f"Map of {some}{len(gallery):,} pictures, as {model_name} sees them"
    return frame(map_page.page(gallery, layout, title, query), "Map of what is searched")
