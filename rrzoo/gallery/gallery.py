"""Galleries: images that can be searched by a picture.

A gallery holds, for each of its images, the feature of one model, a label, a thumbnail and a source.
`rrzoo.gallery.storage` says what it is on disk, `rrzoo.gallery.backends` what finds the nearest features.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo.gallery import folders, indexing, kept, listing, sources, storage, updating, writing
from rrzoo.gallery.backends import Backend
from rrzoo.gallery.indexing import Batches, Embedder
from rrzoo.gallery.manifest import GalleryManifest
from rrzoo.gallery.pictures import DatasetPictures, Pictures, pictures_of
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.searchable import Searchable
from rrzoo.gallery.searching import RowIndex
from rrzoo.gallery.sources import Buildable, Folder, PictureSource
from rrzoo.gallery.storage import Saved
from rrzoo.gallery.unfinished import Unfinished
from rrzoo.images import ImageLike
from rrzoo.progress import OnProgress


class Gallery(Searchable):
    """A searchable collection of images. Make one with `Gallery.build` or `Gallery.load`."""

    def __init__(
        self,
        model: Embedder,
        rows: Rows,
        classes: tuple[str, ...],
        description: str | None = None,
        pictures: Pictures | None = None,
        skipped: Sequence[str] = (),
        notes: Sequence[str] = (),
        folder: str | None = None,
        index: Callable[[], Backend] | None = None,
        ids: np.ndarray | None = None,
    ) -> None:
        """Index rows, N; `pictures` are shown of those that have no thumbnails themselves.

        `index` and `ids` are those of a `RowIndex` where rows are read from files or a store; else they are in memory.
        """
        self.model = model
        self._kept = rows
        self._rows = RowIndex(model, rows, classes, index, ids)
        shown = pictures or rows.thumbnails
        assert shown is not None
        self._pictures: Pictures = shown
        self.classes = classes
        self.sources: Sequence[str] = rows.sources
        self.description = description  # what the images are, where a data set says so
        self.skipped = tuple(skipped)  # pictures that could not be read and were left out
        self.notes = tuple(notes)  # what else is to be known: files ignored, folders not readable, JPEGs without end
        self.folder = folder  # that the images are in, its path without links; None: they are of no folder

    @classmethod
    def build(
        cls,
        model: Embedder,
        source: Buildable,
        progress: OnProgress | None = None,
        strict: bool = False,
        rerank: bool = True,
    ) -> "Gallery":
        """Index a folder of images, a data set, or some images. No more than a batch is in memory at a time.

        Of clay10 and STL-10 no pictures are kept: they are taken from the data set, where it is on this machine.

        Args:
            model: whose features are indexed.
            source: a folder, with all below it, where the first folder of an image's path is its label; a data set;
                several splits of one; or up to 500 images, as for `from_images`.
            progress: called before the first batch and after each, with images done and images in all.
            strict: raise where a file can't be read, instead of leaving it out; `skipped` names what was left out.
            rerank: keep what the relation head needs to score hits. Where the embedding is not simply the features
                that it takes, that is 2 bytes for each of these on disk.

        Raises:
            errors.GalleryError: there is no such folder, no image in it or none that can be read; or one can't, and
                `strict` is true.
            errors.ArgumentError: the source is nothing of the above.
        """
        is_folder = isinstance(source, str | os.PathLike)
        listed = folders.of_folder(Path(source)) if is_folder else sources.of(source)  # type: ignore[arg-type]
        return cls._index(model, listed, progress, strict, rerank=rerank)

    @classmethod
    def index_folder(
        cls,
        model: Embedder,
        source: Folder,
        saved: Folder,
        progress: OnProgress | None = None,
        strict: bool = False,
        exclude: Sequence[str] = (),
        batches_of: Batches | None = None,
    ) -> "Gallery":
        """Bring the gallery in `saved` up to date with a folder of images, and save it.

        Only files that are new there, or whose size or time of change is another, are read and embedded; those that
        are gone are dropped, but none of a folder in it that can't be read now. What an interrupted run has embedded is
        kept beside the gallery, batch by batch, and the next run goes on from it. The result is that of `build`.

        Args:
            model: whose features are indexed.
            source: the folder of images, as for `build`; or, where pyarrow is installed, an address of object storage
                (s3://bucket/prefix), a WebDataset shard (.tar) or a Parquet table, and where LanceDB is, a table of it
                (lance:photos.lance): see `rrzoo.gallery.remote`.
            saved: the gallery's folder; what is there of another model, or damaged, is replaced.
            progress: called before the first batch, with what need not be embedded, and after each.
            strict: as for `build`.
            exclude: patterns as of a shell; files and folders of such a name, or path within `source`, are left out.
            batches_of: reads and embeds, such as the `batches` of `rrzoo.gallery.cluster`; default: this process.

        Raises:
            errors.GalleryError: as for `build`, and if `saved` can't be written or is the gallery of another folder.
            errors.ArgumentError: a package is missing, or something is to be left out of what is no folder.
        """
        arguments = model, source, Path(saved), progress, strict, exclude, batches_of
        storage.check_owner(Path(saved), listing.identity(source))
        try:
            return cls._index_folder(updating.usable(Path(saved), model.fingerprint), *arguments)
        except errors.DamagedGalleryError:  # which is seen where rows are read
            return cls._index_folder(None, *arguments)

    @classmethod
    def _index_folder(
        cls,
        before: Saved | None,
        model: Embedder,
        source: Folder,
        saved: Path,
        progress: OnProgress | None,
        strict: bool,
        exclude: Sequence[str],
        batches_of: Batches | None,
    ) -> "Gallery":
        unfinished = Unfinished(saved, model.fingerprint, listing.identity(source))
        known = [*([before.rows] if before else []), *unfinished.known()]
        listed = listing.listed(source, exclude, known)
        skipped: list[str] = []
        notes = list(listed.notes)
        taker = None if strict else skipped
        indexed = indexing.embed(model, listed, progress, taker, notes, known, unfinished.add, True, batches_of)
        manifest = GalleryManifest(
            model=model.name,
            fingerprint=model.fingerprint,
            dimension=indexed.known[0].unit.shape[1],
            metric="cosine",
            rows=len(indexed.numbers),
            classes=listed.classes,
            description=None,
            folder=listed.folder,
        )
        updating.update(saved, before, indexed, manifest)
        unfinished.clear()
        gallery = cls.load(model, saved)
        gallery.skipped, gallery.notes = tuple(skipped), tuple(notes)
        return gallery

    @classmethod
    def from_images(
        cls,
        model: Embedder,
        pictures: Sequence[ImageLike],
        labels: Sequence[str | None] | None = None,
        progress: OnProgress | None = None,
        strict: bool = False,
    ) -> "Gallery":
        """Index up to 500 images for as long as the gallery is in use: nothing is written to disk.

        Args:
            model: whose features are indexed.
            pictures: paths, PIL images or uint8 arrays (H, W, 3). The source of a hit is the file's name or, for what
                is no path, the image's number, from 1.
            labels: one for each image, None for none.
            progress: called before the first batch of 8, and after each.
            strict: as for `build`.

        Raises:
            errors.GalleryError: no image, more than 500, or none that can be read; or one can't, and `strict` is true.
            errors.ArgumentError: there are more or fewer labels than images.
        """
        return cls._index(model, sources.of_images(pictures, labels), progress, strict)

    @classmethod
    def _index(
        cls, model: Embedder, source: PictureSource, progress: OnProgress | None, strict: bool, rerank: bool = True
    ) -> "Gallery":
        skipped: list[str] = []
        notes = list(source.notes)
        rows = indexing.embed(model, source, progress, None if strict else skipped, notes, rerank=rerank).rows()
        return cls.of_rows(model, source, rows, skipped, notes)

    @classmethod
    def of_rows(
        cls, model: Embedder, source: PictureSource, rows: Rows, skipped: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> "Gallery":
        """Make a gallery of rows that were computed of a source's pictures; what was left out, and noted, is kept."""
        pictures = DatasetPictures(source.splits) if source.splits else None
        return cls(model, rows, source.classes, source.description, pictures, skipped, notes, source.folder)

    def unit(self) -> np.ndarray:
        """Return the features of all images that are searched, scaled to unit length, float32 (N, E)."""
        return np.asarray(self._kept.unit)

    def features(self) -> np.ndarray:
        """Return the features of all images, float32 (N, D), not of unit length, as the relation head takes them.

        Raises:
            errors.ArgumentError: `can_rerank` is false, and the gallery does not hold them.
        """
        if not self.can_rerank and not self.model.embeds_relation:
            raise errors.ArgumentError("the gallery holds no features for a relation head: build it with rerank=True")
        return self._rows.features(np.arange(len(self)))

    def save(self, folder: Folder) -> None:
        """Write the gallery into `folder`, in place of one that may be there.

        Raises:
            errors.GalleryError: the folder can't be written, there is no room, another process is writing there, or
                the folder is not one for a gallery alone.
        """
        manifest = GalleryManifest(
            model=self.model.name,
            fingerprint=self.model.fingerprint,
            dimension=self._kept.unit.shape[1],
            metric="cosine",
            rows=len(self),
            classes=self.classes,
            description=self.description,
            splits=self._kept.splits,
            folder=self.folder,
        )
        writing.write(Path(folder), manifest, replace(self._kept, sources=self.sources))
        kept.keep(Path(folder), storage.open_saved(Path(folder)))

    @classmethod
    def load(cls, model: Embedder, folder: Folder) -> "Gallery":
        """Read a gallery that `save` wrote.

        Raises:
            errors.GalleryError: a file is missing, damaged or of another format, the gallery was made by another
                model, or the data set at hand whose pictures it shows is another than it was built of.
            errors.DatasetError: that data set is incomplete or broken.
        """
        folder = Path(folder)
        saved = storage.open_saved(folder)
        manifest, rows = saved.manifest, saved.rows
        if manifest.fingerprint != model.fingerprint:
            raise errors.GalleryError(
                f"{folder} holds a gallery of another model ({manifest.model}; its features differ from those of "
                f"{model.name}): load that model, or build the gallery anew with Gallery.build"
            )
        labels = np.asarray(rows.labels) if rows.splits else None
        pictures = None if labels is None else pictures_of(rows.splits, labels, manifest.classes)
        index = partial(kept.index, folder, saved)
        return cls(model, rows, manifest.classes, manifest.description, pictures, folder=manifest.folder, index=index)
