"""Galleries: images that can be searched by a picture."""

from rrzoo.gallery.gallery import RERANKED, Gallery, Hit
from rrzoo.gallery.sources import IN_MEMORY

__all__ = ["IN_MEMORY", "RERANKED", "Gallery", "Hit"]
