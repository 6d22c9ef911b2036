"""A gallery in two dimensions: where its pictures lie, and a page that shows them."""

from rrzoo.gallery.map.layout import Layout, lay_out
from rrzoo.gallery.map.page import write_page

__all__ = ["Layout", "lay_out", "write_page"]
