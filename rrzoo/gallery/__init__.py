"""Galleries: images that can be searched by a picture."""

from rrzoo.gallery.gallery import IN_MEMORY, RERANKED, Gallery, Hit

__all__ = ["IN_MEMORY", "RERANKED", "Gallery", "Hit"]
