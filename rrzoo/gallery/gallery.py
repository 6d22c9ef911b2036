"""Galleries: images that can be searched by a picture.

A gallery holds, for each of its images, the feature of one model, a label, a thumbnail and a source.
`rrzoo.gallery.storage` says what it is on disk, `rrzoo.gallery.backends` what finds the nearest features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.datasets import Dataset
from rrzoo.gallery import indexing, sources, storage
from rrzoo.gallery.backends import Backend, FaissFlat
from rrzoo.gallery.indexing import Embedder
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.sources import Buildable, Folder, PictureSource
from rrzoo.gallery.storage import GalleryManifest
from rrzoo.gallery.thumbnails import DatasetPictures, Pictures
from rrzoo.gallery.unfinished import Unfinished
from rrzoo.images import ImageLike, Images
from rrzoo.progress import OnProgress

RERANKED = 100  # nearest images that the relation head sorts anew


@dataclass(frozen=True)
class Hit:
    """One image that a search found."""

    score: float  # cosine similarity of the features, -1 to 1
    label: str | None
    thumbnail: Image.Image
    source: str  # a path within the folder; data set, split and number; or the name of a file
    row: int  # within the gallery
    relation: float | None  # relation score of the query and the image, 0 to 1; None of a model that can't relate


class Gallery:
    """A searchable collection of images. Make one with `Gallery.build` or `Gallery.load`."""

    def __init__(
        self,
        model: Embedder,
        rows: Rows,
        classes: tuple[str, ...],
        description: str | None = None,
        shipped: Dataset | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        """Index rows, N, whose thumbnails are theirs or the images of a data set that ships with the package."""
        self.model = model
        self._backend: Backend = FaissFlat(rows.unit.shape[1])
        self._backend.add(np.arange(len(rows)), rows.unit)  # the ids are the rows
        self._lengths, self._stamps, self._thumbnails = rows.lengths, rows.stamps, rows.thumbnails
        self._relation = rows.relation
        self._shipped = shipped
        pictures = DatasetPictures(shipped) if shipped else rows.thumbnails
        assert pictures is not None  # rows whose pictures do not ship have thumbnails
        self._pictures: Pictures = pictures
        self.labels = rows.labels  # int64 (N,): numbers of `classes`, -1 for none
        self.classes = classes
        self.sources: Sequence[str] = rows.sources
        self.description = description  # what the images are, where a data set says so
        self.skipped = tuple(skipped)  # files that could not be read and were left out, as asked

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)

    @classmethod
    def build(
        cls,
        model: Embedder,
        source: Buildable,
        progress: OnProgress | None = None,
        skip_broken: bool = False,
    ) -> "Gallery":
        """Index a folder of images, a data set, or some images. No more than a batch is in memory at a time.

        Args:
            model: whose features are indexed.
            source: a folder, with all below it, where the first folder of an image's path is its label; a data set;
                several splits of one; or up to 500 images, as for `from_images`.
            progress: called before the first batch and after each, with images done and images in all.
            skip_broken: leave out files that can't be read; `skipped` names them.

        Raises:
            errors.GalleryError: there is no such folder, no image in it, or an image that can't be read.
            errors.ArgumentError: the source is nothing of the above.
        """
        return cls._index(model, sources.of(source), progress, skip_broken)

    @classmethod
    def index_folder(
        cls,
        model: Embedder,
        source: Folder,
        saved: Folder,
        progress: OnProgress | None = None,
        skip_broken: bool = False,
    ) -> "Gallery":
        """Bring the gallery in `saved` up to date with a folder of images, and save it.

        Only files that are new there, or whose size or time of change is another, are read and embedded; those that
        are gone are dropped. What an interrupted run has embedded is kept beside the gallery, batch by batch, and the
        next run goes on from it. The result is that of `build`.

        Args:
            model: whose features are indexed.
            source: the folder of images, as for `build`.
            saved: the gallery's folder; what is there of another model, or damaged, is replaced.
            progress: called before the first batch, with what need not be embedded, and after each.
            skip_broken: as for `build`.

        Raises:
            errors.GalleryError: as for `build`, and if `saved` can't be written.
        """
        saved = Path(saved)
        unfinished = Unfinished(saved, model.fingerprint)
        gallery = cls._index(model, sources.of_folder(Path(source)), progress, skip_broken, unfinished)
        gallery.save(saved)
        unfinished.clear()
        return gallery

    @classmethod
    def from_images(
        cls,
        model: Embedder,
        pictures: Sequence[ImageLike],
        labels: Sequence[str | None] | None = None,
        progress: OnProgress | None = None,
        skip_broken: bool = False,
    ) -> "Gallery":
        """Index up to 500 images for as long as the gallery is in use: nothing is written to disk.

        Args:
            model: whose features are indexed.
            pictures: paths, PIL images or uint8 arrays (H, W, 3). The source of a hit is the file's name or, for what
                is no path, the image's number, from 1.
            labels: one for each image, None for none.
            progress: called before the first batch of 8, and after each.
            skip_broken: leave out what can't be read; `skipped` names it.

        Raises:
            errors.GalleryError: no image, more than 500, or one that can't be read.
            errors.ArgumentError: there are more or fewer labels than images.
        """
        return cls._index(model, sources.of_images(pictures, labels), progress, skip_broken)

    @classmethod
    def _index(
        cls,
        model: Embedder,
        source: PictureSource,
        progress: OnProgress | None,
        skip_broken: bool,
        unfinished: Unfinished | None = None,
    ) -> "Gallery":
        skipped: list[str] = []
        broken = skipped if skip_broken else None
        known, keep = (unfinished.known(), unfinished.add) if unfinished else ((), None)
        rows = indexing.embed(model, source, progress, broken, known, keep)
        return cls(model, rows, source.classes, source.description, source.shipped, skipped)

    def search(self, images: Images, k: int = 12, rerank: bool = False) -> list[list[Hit]]:
        """Find the k nearest images to each of `images`, nearest first, by cosine similarity of the features.

        Args:
            images: the queries.
            k: hits for each.
            rerank: sort the 100 nearest (or k, if that is more) by relation score instead, highest first, and return
                the first k of them.

        Returns:
            a list of hits for each query: k of them, or all images where the gallery has fewer.

        Raises:
            errors.ArgumentError: k is below 1, or re-ranking is asked for and the model has no relation head.
        """
        if k < 1:
            raise errors.ArgumentError(f"k is {k}: ask for at least 1 hit")
        if rerank and not self.model.has_relation_head:
            raise errors.ArgumentError(
                f"{self.model.name} has no relation head to re-rank with: search without, or with another model"
            )
        queries = self.model.extract(images)
        unit = np.ascontiguousarray(self.model.embed_features(queries.pooled), np.float32)
        rows, scores = self._backend.search(unit, max(k, RERANKED) if rerank else k)
        relations = self._relations(queries.relation, rows)
        if rerank:
            order = np.argsort(-relations, axis=1, kind="stable")[:, :k]
            scores, rows, relations = (np.take_along_axis(found, order, 1) for found in (scores, rows, relations))
        return [
            [self._hit(*found) for found in zip(*of_query, strict=True)]
            for of_query in zip(rows.tolist(), scores.tolist(), relations.tolist(), strict=True)
        ]

    def _relations(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return relation scores, float32 (N, k), of features (N, D) and the images of rows (N, k), or None each."""
        if not self.model.has_relation_head:
            return np.full(rows.shape, None)
        flat = rows.ravel()
        found = self._relation_features(flat)
        return self.model.relate_features(np.repeat(queries, rows.shape[1], axis=0), found).reshape(rows.shape)

    def features(self) -> np.ndarray:
        """Return the features of all images, float32 (N, D), not of unit length, as the relation head takes them."""
        return self._relation_features(np.arange(len(self)))

    def thumbnail(self, row: int) -> Image.Image:
        """Return the thumbnail of an image, RGB.

        Raises:
            errors.ArgumentError: the gallery has no such row.
            errors.GalleryError: it is damaged.
        """
        if not 0 <= row < len(self):
            raise errors.ArgumentError(f"row {row} was asked for: the gallery has rows 0 to {len(self) - 1}")
        return self._pictures[row]

    def _relation_features(self, rows: np.ndarray) -> np.ndarray:
        if self._relation is not None:
            return np.asarray(self._relation[rows], np.float32)
        return np.asarray(self._backend.features(rows) * self._lengths[rows, None])

    def _unit(self) -> np.ndarray:
        return self._backend.features(np.arange(len(self)))

    def _hit(self, row: int, score: float, relation: float | None) -> Hit:
        label = self.classes[self.labels[row]] if self.labels[row] >= 0 else None
        return Hit(score, label, self._pictures[row], self.sources[row], row, relation)

    def save(self, folder: Folder) -> None:
        """Write the gallery into `folder`, in place of one that may be there.

        Raises:
            errors.GalleryError: the folder can't be written, there is no room, another process is writing there, or
                the folder is not one for a gallery alone.
        """
        unit = self._unit()
        manifest = GalleryManifest(
            model=self.model.name,
            fingerprint=self.model.fingerprint,
            dimension=unit.shape[1],
            metric="cosine",
            rows=len(self),
            classes=self.classes,
            description=self.description,
            dataset=f"{self._shipped.name}/{self._shipped.split}" if self._shipped else None,
        )
        parts = self._lengths, self.labels, tuple(self.sources), self._stamps, self._thumbnails
        storage.write(Path(folder), manifest, Rows(unit, *parts, self._relation))

    @classmethod
    def load(cls, model: Embedder, folder: Folder) -> "Gallery":
        """Read a gallery that `save` wrote.

        Raises:
            errors.GalleryError: a file is missing, damaged or of another format, or the gallery was made by another
                model.
        """
        manifest, rows = storage.read(Path(folder))
        if manifest.fingerprint != model.fingerprint:
            raise errors.GalleryError(
                f"{folder} holds a gallery of another model ({manifest.model}; its features differ from those of "
                f"{model.name}): load that model, or build the gallery anew with Gallery.build"
            )
        if (rows.relation is None) != model.embeds_relation:
            raise storage.damaged(Path(folder), f"{model.name} keeps its features otherwise")
        shipped = None if manifest.dataset is None else sources.load_shipped(manifest.dataset)
        if manifest.dataset is not None and (shipped is None or len(shipped) != len(rows)):
            raise storage.damaged(Path(folder), f"its images are not the {len(rows)} of {manifest.dataset!r:.60}")
        return cls(model, rows, manifest.classes, manifest.description, shipped)
