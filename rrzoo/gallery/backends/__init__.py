"""What finds the nearest features. A backend is a file here, and a row in tests/gallery/test_backends.py."""

from rrzoo.gallery.backends.lance import Lance
from rrzoo.gallery.backends.partitioned import Faiss, Part
from rrzoo.gallery.backends.protocol import Backend, Limits

__all__ = ["Backend", "Faiss", "Lance", "Limits", "Part"]
