"""What finds the nearest features. A backend is a file here, and a row in tests/gallery/test_backends.py."""

from rrzoo.gallery.backends.faiss_flat import FaissFlat
from rrzoo.gallery.backends.protocol import Backend, Limits

__all__ = ["Backend", "FaissFlat", "Limits"]
