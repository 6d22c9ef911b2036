"""Galleries: images that can be searched by a picture."""

from rrzoo.gallery.gallery import Gallery
from rrzoo.gallery.searching import RERANKED, Hit, Vote
from rrzoo.gallery.sources import IN_MEMORY

__all__ = ["IN_MEMORY", "RERANKED", "Gallery", "Hit", "Vote"]
