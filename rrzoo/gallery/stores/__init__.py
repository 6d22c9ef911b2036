"""Galleries in a table of LanceDB, in a folder or in object storage, in place of files of rrzoo's own."""

from rrzoo.gallery.backends.lance_connection import place_of
from rrzoo.gallery.stores.galleries import index_datasets, index_folder, open_gallery
from rrzoo.gallery.stores.opening import is_store

__all__ = ["index_datasets", "index_folder", "is_store", "open_gallery", "place_of"]
