"""Duplicates: which pictures of a gallery are copies of one another, saved again, cropped, framed or recoloured."""

from rrzoo.gallery.duplicates.comparing import Comparison
from rrzoo.gallery.duplicates.finding import Copy, CopyGroup, find

__all__ = ["Comparison", "Copy", "CopyGroup", "find"]
