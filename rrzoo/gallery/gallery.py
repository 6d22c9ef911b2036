"""Galleries: images that can be searched by a picture. The only user of FAISS.

A gallery holds, for each of its images, the feature of one model, a label, a thumbnail and a source.
`rrzoo/gallery_files.py` says what it is on disk.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrzoo import datasets, errors
from rrzoo.datasets import Dataset
from rrzoo.gallery import batches, indexing, storage
from rrzoo.gallery.indexing import Embedder, Progress
from rrzoo.gallery.storage import Manifest, Rows, Unfinished
from rrzoo.gallery.thumbnails import DatasetPictures, Pictures, Thumbnails
from rrzoo.images import ImageLike, Images

SHIPPED = ("clay10",)  # data sets that come with the package, whose images need no thumbnails

IN_MEMORY = 500  # images that `Gallery.from_images` takes at most
RERANKED = 100  # nearest images that the relation head sorts anew


@dataclass(frozen=True)
class Hit:
    """One image that a search found."""

    score: float  # cosine similarity of the features, -1 to 1
    label: str | None
    thumbnail: Image.Image
    source: str  # a path within the folder, or data set, split and number
    row: int  # within the gallery
    relation: float | None  # relation score of the query and the image, 0 to 1; None of a model that can't relate


class Gallery:
    """A searchable collection of images. Make one with `Gallery.build` or `Gallery.load`."""

    def __init__(
        self,
        model: Embedder,
        index: Any,
        lengths: np.ndarray,
        labels: np.ndarray,
        classes: tuple[str, ...],
        sources: Sequence[str],
        pictures: Pictures,
        description: str | None = None,
        skipped: tuple[str, ...] = (),
        stamps: np.ndarray | None = None,
    ) -> None:
        """Join the parts: a FAISS index of N unit vectors, and N of everything else."""
        self.model = model
        self._index = index
        self._lengths = lengths  # float32 (N,): of the features before they were scaled to unit length
        self.labels = labels  # int64 (N,): numbers of `classes`, -1 for none
        self.classes = classes
        self.sources = sources
        self._pictures = pictures
        self.description = description  # what the images are, where a data set says so
        self.skipped = skipped  # files that could not be read when the gallery was built, and were left out, as asked
        self._stamps = stamps  # int64 (N, 2) of a folder's files, see `batches.Stamp`: what `index_folder` goes by

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)

    @classmethod
    def build(
        cls,
        model: Embedder,
        source: str | os.PathLike[str] | Dataset | Sequence[Dataset],
        progress: Progress | None = None,
        skip_broken: bool = False,
    ) -> "Gallery":
        """Index a folder of images, or a data set. No more than a batch of images is in memory at a time.

        Args:
            model: whose features are indexed.
            source: a data set; several splits of one; or a folder, with all below it, where the first folder of an
                image's path is its label.
            progress: called after each batch.
            skip_broken: leave out files of a folder that can't be read; `skipped` names them.

        Raises:
            errors.GalleryError: there is no such folder, no image in it, or an image that can't be read.
        """
        if isinstance(source, str | os.PathLike):
            skipped: list[str] = []
            broken = skipped if skip_broken else None
            rows, classes = indexing.folder_rows(model, Path(source), (), lambda new: None, progress, broken)
            return cls._of_rows(model, rows, classes, rows.thumbnails, skipped=skipped)
        splits = [source] if isinstance(source, Dataset) else list(source)
        shipped = splits[0] if len(splits) == 1 and splits[0].name in SHIPPED else None
        count = sum(map(len, splits))
        embedded = indexing.embed(model, batches.of_datasets(splits), count, progress, thumbnails=shipped is None)
        if embedded is None:
            raise errors.GalleryError(f"{splits[0].name} has no images in the splits that were asked for: name others")
        pictures = DatasetPictures(shipped) if shipped else embedded.thumbnails
        return cls._of_rows(model, embedded, splits[0].classes, pictures, splits[0].description)

    @classmethod
    def index_folder(
        cls,
        model: Embedder,
        source: str | os.PathLike[str],
        saved: Path,
        progress: Progress | None = None,
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
        unfinished = Unfinished(saved, model.fingerprint)
        skipped: list[str] = []
        known = (*cls._saved_rows(model, saved), *unfinished.read())
        rows, classes = indexing.folder_rows(
            model, Path(source), known, unfinished.add, progress, skipped if skip_broken else None
        )
        gallery = cls._of_rows(model, rows, classes, rows.thumbnails, skipped=skipped)
        gallery.save(saved)
        unfinished.clear()
        return gallery

    @classmethod
    def _saved_rows(cls, model: Embedder, folder: Path) -> Iterator[Rows]:
        """Yield what a saved gallery has of this model and a folder: all its rows, or nothing."""
        try:
            saved = cls.load(model, folder)
        except errors.GalleryError:
            return
        if saved._stamps is not None and isinstance(saved._pictures, Thumbnails):
            unit = saved._index.reconstruct_n(0, len(saved))
            labels = [batches.class_of(source) for source in saved.sources]
            yield Rows(unit, saved._lengths, saved._pictures, list(saved.sources), labels, saved._stamps)

    @classmethod
    def from_images(
        cls,
        model: Embedder,
        pictures: Sequence[ImageLike],
        labels: Sequence[str | None] | None = None,
        progress: Progress | None = None,
        skip_broken: bool = False,
    ) -> "Gallery":
        """Index up to 500 images for as long as the gallery is in use: nothing is written to disk.

        Args:
            model: whose features are indexed.
            pictures: paths, PIL images or uint8 arrays (H, W, 3). The source of a hit is the file's name or, for what
                is no path, the image's number, from 1.
            labels: one for each image, None for none.
            progress: called after each batch of 8.
            skip_broken: leave out what can't be read; `skipped` names it.

        Raises:
            errors.GalleryError: no image, more than 500, or one that can't be read.
            errors.ArgumentError: there are more or fewer labels than images.
        """
        count = len(pictures)
        if not 0 < count <= IN_MEMORY:
            raise errors.GalleryError(
                f"{count:,} images arrived: a gallery in memory takes 1 to {IN_MEMORY}; for more, "
                "put them into a folder and use python -m rrzoo index"
            )
        if labels is not None and len(labels) != count:
            raise errors.ArgumentError(f"{len(labels)} labels and {count} images arrived: give one for each image")
        named = [None] * count if labels is None else labels
        classes = tuple(sorted({label for label in named if label is not None}))
        skipped: list[str] = []
        read = batches.of_images(pictures, named, skipped if skip_broken else None)
        rows = indexing.embed(model, read, count, progress)
        if rows is None:
            raise errors.GalleryError(f"none of the {count} images can be read; {skipped[0]}")
        return cls._of_rows(model, rows, classes, rows.thumbnails, skipped=skipped)

    @classmethod
    def _of_rows(
        cls,
        model: Embedder,
        rows: Rows,
        classes: tuple[str, ...],
        pictures: Pictures | None,
        description: str | None = None,
        skipped: Sequence[str] = (),
    ) -> "Gallery":
        assert pictures is not None
        index = _faiss().IndexFlatIP(rows.unit.shape[1])
        index.add(rows.unit)
        labels = batches.numbers(rows.labels, classes)
        parts = classes, rows.sources, pictures, description, tuple(skipped), rows.stamps
        return cls(model, index, rows.lengths, labels, *parts)

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
        queries = self.model.features(images)
        scores, rows = self._index.search(
            indexing.to_unit(queries)[0], min(max(k, RERANKED) if rerank else k, len(self))
        )
        relations = self._relations(queries, rows)
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
        found = self._index.reconstruct_batch(flat) * self._lengths[flat, None]
        return self.model.relate_features(np.repeat(queries, rows.shape[1], axis=0), found).reshape(rows.shape)

    def features(self) -> np.ndarray:
        """Return the features of all images, float32 (N, D), not of unit length, as the relation head takes them."""
        return self._index.reconstruct_n(0, len(self)) * self._lengths[:, None]

    def thumbnail(self, row: int) -> Image.Image:
        """Return the thumbnail of an image, RGB.

        Raises:
            errors.ArgumentError: the gallery has no such row.
        """
        if not 0 <= row < len(self):
            raise errors.ArgumentError(f"row {row} was asked for: the gallery has rows 0 to {len(self) - 1}")
        return self._pictures[row]

    def _hit(self, row: int, score: float, relation: float | None) -> Hit:
        label = self.classes[self.labels[row]] if self.labels[row] >= 0 else None
        return Hit(score, label, self._pictures[row], self.sources[row], row, relation)

    def save(self, folder: Path) -> None:
        """Write the gallery into `folder`.

        Raises:
            errors.GalleryError: the folder can't be written, or there is no room.
        """
        tensors = {"labels": self.labels, "lengths": self._lengths}
        dataset = None
        if isinstance(self._pictures, Thumbnails):
            tensors |= {"thumbnails": self._pictures.content, "thumbnail_ends": self._pictures.ends}
        elif isinstance(self._pictures, DatasetPictures):
            dataset = f"{self._pictures.dataset.name}/{self._pictures.dataset.split}"
        if self._stamps is not None:
            tensors["stamps"] = self._stamps
        manifest = Manifest(
            model=self.model.name,
            fingerprint=self.model.fingerprint,
            rows=len(self),
            dimension=self._index.d,
            metric="cosine",
            classes=self.classes,
            sources=tuple(self.sources),
            dataset=dataset,
            sha256={},
            description=self.description,
        )
        storage.write(folder, manifest, _faiss().serialize_index(self._index).tobytes(), tensors)

    @classmethod
    def load(cls, model: Embedder, folder: str | os.PathLike[str]) -> "Gallery":
        """Read a gallery that `save` wrote.

        Raises:
            errors.GalleryError: a file is missing or damaged, or the gallery was made by another model.
        """
        folder = Path(folder)
        manifest, index, tensors = storage.read(folder)
        if manifest.fingerprint != model.fingerprint:
            raise errors.GalleryError(
                f"{folder} holds a gallery of another model ({manifest.model}; its features differ from those of "
                f"{model.name}): load that model, or build the gallery anew with Gallery.build"
            )
        try:
            return cls._from_files(model, manifest, index, tensors)
        except (KeyError, ValueError, RuntimeError) as problem:
            raise storage.damaged(folder, str(problem)) from None

    @classmethod
    def _from_files(cls, model: Embedder, manifest: Manifest, file: bytes, tensors: dict[str, np.ndarray]) -> "Gallery":
        index = _faiss().deserialize_index(np.frombuffer(file, np.uint8))
        labels, lengths, stamps = tensors["labels"], tensors["lengths"], tensors.get("stamps")
        rows = manifest.rows
        if not (rows == index.ntotal == len(labels) == len(lengths) == len(manifest.sources) > 0):
            raise ValueError(f"its parts do not all have {rows} rows")
        if index.d != manifest.dimension or labels.min() < -1 or labels.max() >= len(manifest.classes):
            raise ValueError("its dimension or its labels are out of range")
        if stamps is not None and stamps.shape != (rows, 2):
            raise ValueError("its stamps do not fit its rows")
        pictures: Pictures
        if manifest.dataset is not None:
            name, _, split = manifest.dataset.partition("/")
            pictures = DatasetPictures(datasets.load(name, split))
        else:
            pictures = Thumbnails(tensors["thumbnails"], tensors["thumbnail_ends"])
            if len(pictures.ends) != rows:
                raise ValueError("its thumbnails do not fit its rows")
        parts = manifest.classes, manifest.sources, pictures, manifest.description
        return cls(model, index, lengths, labels, *parts, stamps=stamps)


def _faiss() -> Any:
    """Import FAISS when it is first needed, and keep it to one thread: two are slower on galleries of this size."""
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss
