"""Galleries of stores: opened, and brought up to date with a folder, an address of object storage, or a data set."""

from collections.abc import Sequence
from functools import partial

from rrzoo.datasets import Dataset
from rrzoo.gallery import indexing, listing, sources
from rrzoo.gallery.gallery import Gallery
from rrzoo.gallery.indexing import Batches, Embedder
from rrzoo.gallery.sources import Folder
from rrzoo.gallery.stores.opening import load
from rrzoo.gallery.stores.writing import Lister, index
from rrzoo.progress import OnProgress


def open_gallery(model: Embedder, address: str) -> Gallery:
    """Open the gallery in a store, such as lance:FOLDER or lance:s3://BUCKET/PATH.

    It sees the store as it is now, whatever others write there later.

    Raises:
        errors.GalleryError: there is none, it is another model's, or it can't be read.
        errors.ArgumentError: LanceDB is missing, or the address is none.
    """
    held = load(model, address)
    return Gallery(model, held.rows, held.classes, held.description, folder=held.folder, index=held.index, ids=held.ids)


def index_folder(
    model: Embedder,
    source: Folder,
    address: str,
    progress: OnProgress | None = None,
    strict: bool = False,
    exclude: Sequence[str] = (),
    batches_of: Batches = indexing.batches,
) -> Gallery:
    """Bring the gallery in a store up to date with a source, as `Gallery.index_folder` does one in a folder.

    What was written before an interruption is in the store, and the next run goes on from it. A store of another model
    or source is refused, and not replaced, as others may be reading it.

    Raises:
        errors.GalleryError, errors.ArgumentError: as for `stores.index`, or the source can't be listed.
    """
    lister = partial(listing.listed, source, exclude)
    return _index(model, address, listing.identity(source), lister, progress, strict, batches_of)


def index_datasets(
    model: Embedder,
    splits: Sequence[Dataset],
    address: str,
    progress: OnProgress | None = None,
    strict: bool = False,
) -> Gallery:
    """Bring the gallery in a store up to date with a data set, or with several splits of one.

    Thumbnails of all pictures are kept there: who reads it needs no data set.

    Raises:
        errors.GalleryError, errors.ArgumentError: as for `stores.index`.
    """
    of = ", ".join(f"{split.name}/{split.split}" for split in splits)
    return _index(model, address, of, lambda known: sources.of_datasets(splits), progress, strict)


def _index(
    model: Embedder,
    address: str,
    of: str,
    lister: Lister,
    progress: OnProgress | None,
    strict: bool,
    batches_of: Batches = indexing.batches,
) -> Gallery:
    skipped, notes = index(model, address, of, lister, progress, strict, batches_of)
    gallery = open_gallery(model, address)
    gallery.skipped, gallery.notes = tuple(skipped), tuple(notes)
    return gallery
