"""Galleries: images that can be searched by a picture. The only user of FAISS.

A gallery holds, for each of its images, the feature of one model, a label, a thumbnail and a source. On disk it is
three files: `index.faiss`, `gallery.safetensors` and the manifest `gallery.json`, which names the model and the
SHA-256 of the other two.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save_file as save_tensors

from rrzoo import datasets, errors, images
from rrzoo.datasets import Dataset
from rrzoo.images import ImageLike, Images
from rrzoo.recipes import from_dict

INDEX = "index.faiss"
TENSORS = "gallery.safetensors"
MANIFEST = "gallery.json"
FORMAT = 1
THUMBNAIL = 160  # px, the longer side
BATCH = 256  # images read and embedded at once
SHIPPED = ("clay10",)  # data sets that come with the package, whose images need no thumbnails

IN_MEMORY = 500  # images that `Gallery.from_images` takes at most
IN_MEMORY_BATCH = 8  # of those read at once: photographs of up to 50 million pixels
RERANKED = 100  # nearest images that the relation head sorts anew

ENCODERS = 2  # threads that write thumbnails while the model computes features

Progress = Callable[[int, int], None]  # images done, images in all


class Embedder(Protocol):
    """What a gallery needs of a model."""

    @property
    def name(self) -> str:
        """Name in the zoo."""

    @property
    def fingerprint(self) -> str:
        """What distinguishes its features from those of other models."""

    @property
    def relates(self) -> bool:
        """Whether it has a relation head."""

    def features(self, images: Images) -> np.ndarray:
        """Return float32 (N, D)."""

    def relate_features(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the relation scores, float32 (N,), of pairs of features (N, D)."""


class Pictures(Protocol):
    """The thumbnails of a gallery, by row."""

    def __getitem__(self, row: int, /) -> Image.Image:
        """Return one."""


class Thumbnails:
    """Thumbnails kept as WebP files in memory, one after another."""

    def __init__(self, content: np.ndarray, ends: np.ndarray) -> None:
        """Take the files, uint8, and where each of them ends, int64 (N,)."""
        self.content = content
        self.ends = ends

    def __getitem__(self, row: int, /) -> Image.Image:
        """Decode one."""
        file = self.content[self.ends[row - 1] if row else 0 : self.ends[row]].tobytes()
        return Image.open(io.BytesIO(file), formats=("WEBP",)).convert("RGB")

    @staticmethod
    def encode(image: np.ndarray) -> bytes:
        """Return uint8 (H, W, 3) as a WebP file of at most 160 px."""
        picture = Image.fromarray(image)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=85)
        return file.getvalue()


class DatasetPictures:
    """The images of a data set that ships with the package, as they are."""

    def __init__(self, dataset: Dataset) -> None:
        """Show the images of `dataset`."""
        self.dataset = dataset

    def __getitem__(self, row: int, /) -> Image.Image:
        """Return one."""
        return Image.fromarray(self.dataset.images[row])


@dataclass(frozen=True)
class Hit:
    """One image that a search found."""

    score: float  # cosine similarity of the features, -1 to 1
    label: str | None
    thumbnail: Image.Image
    source: str  # a path within the folder, or data set, split and number
    row: int  # within the gallery
    relation: float | None  # relation score of the query and the image, 0 to 1; None of a model that can't relate


@dataclass(frozen=True)
class Manifest:
    """All of `gallery.json`."""

    model: str
    fingerprint: str  # of the model
    rows: int
    dimension: int
    metric: str  # "cosine"
    classes: tuple[str, ...]
    sources: tuple[str, ...]  # one a row
    dataset: str | None  # name/split, where the pictures are those of a data set that ships with the package
    sha256: dict[str, str]  # of the other two files
    description: str | None = None  # what the images are, where a data set says so
    format: int = FORMAT


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
        skipped: list[str] = []
        description: str | None
        shipped: Dataset | None
        description, shipped = None, None
        if isinstance(source, str | os.PathLike):
            folder = Path(source)
            paths = _list_folder(folder)
            count, classes = len(paths), tuple(sorted({name for name in map(_class_of, paths) if name is not None}))
            batches = _folder_batches(folder, paths, classes, skipped if skip_broken else None)
        else:
            splits = [source] if isinstance(source, Dataset) else list(source)
            count, classes, description = sum(map(len, splits)), splits[0].classes, splits[0].description
            batches = _dataset_batches(splits)
            shipped = splits[0] if len(splits) == 1 and splits[0].name in SHIPPED else None
        return cls._from_batches(model, batches, count, classes, description, shipped, skipped, progress)

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
        batches = _image_batches(pictures, named, classes, skipped if skip_broken else None)
        return cls._from_batches(model, batches, count, classes, None, None, skipped, progress)

    @classmethod
    def _from_batches(
        cls,
        model: Embedder,
        batches: Iterator[tuple[int, "Batch"]],
        count: int,
        classes: tuple[str, ...],
        description: str | None,
        shipped: Dataset | None,
        skipped: list[str],
        progress: Progress | None,
    ) -> "Gallery":
        """Embed and join batches; `skipped` is filled while they are read."""
        features, labels, sources = [], [], []
        content, ends = bytearray(), []
        with ThreadPoolExecutor(ENCODERS) as encoders:
            for read, (pictures, batch_labels, batch_sources) in batches:
                if pictures:
                    encoded = encoders.map(Thumbnails.encode, [] if shipped else pictures)
                    features.append(model.features(pictures))
                    for file in encoded:
                        content += file
                        ends.append(len(content))
                labels += batch_labels
                sources += batch_sources
                if progress:
                    progress(read, count)
        if not sources:
            raise errors.GalleryError(f"none of the {count} images can be read; {skipped[0]}")
        unit, lengths = _unit(np.concatenate(features))
        index = _faiss().IndexFlatIP(unit.shape[1])
        index.add(unit)
        thumbnails = Thumbnails(np.frombuffer(content, np.uint8), np.array(ends, np.int64))
        shown = DatasetPictures(shipped) if shipped else thumbnails
        numbers = np.array(labels, np.int64)
        return cls(model, index, lengths, numbers, classes, sources, shown, description, tuple(skipped))

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
        if rerank and not self.model.relates:
            raise errors.ArgumentError(
                f"{self.model.name} has no relation head to re-rank with: search without, or with another model"
            )
        queries = self.model.features(images)
        scores, rows = self._index.search(_unit(queries)[0], min(max(k, RERANKED) if rerank else k, len(self)))
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
        if not self.model.relates:
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
        """Write the three files into `folder`. The manifest comes last: what is interrupted before is refused.

        Raises:
            errors.GalleryError: the folder can't be written, or there is no room.
        """
        tensors = {"labels": self.labels, "lengths": self._lengths}
        dataset = None
        if isinstance(self._pictures, Thumbnails):
            tensors |= {"thumbnails": self._pictures.content, "thumbnail_ends": self._pictures.ends}
        elif isinstance(self._pictures, DatasetPictures):
            dataset = f"{self._pictures.dataset.name}/{self._pictures.dataset.split}"
        unfinished = {name: folder / f".{name}.{os.getpid()}" for name in (INDEX, TENSORS, MANIFEST)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished[INDEX].write_bytes(_faiss().serialize_index(self._index))
            save_tensors(tensors, unfinished[TENSORS])
            unfinished[TENSORS].chmod(unfinished[INDEX].stat().st_mode)  # safetensors makes its files private
            manifest = Manifest(
                model=self.model.name,
                fingerprint=self.model.fingerprint,
                rows=len(self),
                dimension=self._index.d,
                metric="cosine",
                classes=self.classes,
                sources=tuple(self.sources),
                dataset=dataset,
                sha256={name: _sha256(unfinished[name]) for name in (INDEX, TENSORS)},
                description=self.description,
            )
            unfinished[MANIFEST].write_text(json.dumps(asdict(manifest), indent=1))
            for name, path in unfinished.items():
                path.replace(folder / name)
        except (OSError, SafetensorError) as problem:
            raise errors.GalleryError(
                f"the gallery can't be written to {folder} ({problem}): make room there, or name another folder"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                for path in unfinished.values():
                    path.unlink(missing_ok=True)

    @classmethod
    def load(cls, model: Embedder, folder: str | os.PathLike[str]) -> "Gallery":
        """Read a gallery that `save` wrote.

        Raises:
            errors.GalleryError: a file is missing or damaged, or the gallery was made by another model.
        """
        folder = Path(folder)
        manifest, files = _read_files(folder)
        if manifest.fingerprint != model.fingerprint:
            raise errors.GalleryError(
                f"{folder} holds a gallery of another model ({manifest.model}; its features differ from those of "
                f"{model.name}): load that model, or build the gallery anew with Gallery.build"
            )
        try:
            return cls._from_files(model, manifest, files)
        except (SafetensorError, KeyError, ValueError, RuntimeError) as problem:
            raise _damaged(folder, str(problem)) from None

    @classmethod
    def _from_files(cls, model: Embedder, manifest: Manifest, files: dict[str, bytes]) -> "Gallery":
        tensors = load_tensors(files[TENSORS])
        index = _faiss().deserialize_index(np.frombuffer(files[INDEX], np.uint8))
        labels, lengths = tensors["labels"], tensors["lengths"]
        rows = manifest.rows
        if not (rows == index.ntotal == len(labels) == len(lengths) == len(manifest.sources) > 0):
            raise ValueError(f"its parts do not all have {rows} rows")
        if index.d != manifest.dimension or labels.min() < -1 or labels.max() >= len(manifest.classes):
            raise ValueError("its dimension or its labels are out of range")
        pictures: Pictures
        if manifest.dataset is not None:
            name, _, split = manifest.dataset.partition("/")
            pictures = DatasetPictures(datasets.load(name, split))
        else:
            content, ends = tensors["thumbnails"], tensors["thumbnail_ends"]
            if len(ends) != rows or (np.diff(ends, prepend=0) < 0).any() or ends[-1] != len(content):
                raise ValueError("its thumbnails do not fit its rows")
            pictures = Thumbnails(content, ends)
        parts = manifest.classes, manifest.sources, pictures, manifest.description
        return cls(model, index, lengths, labels, *parts)


def _faiss() -> Any:
    """Import FAISS when it is first needed, and keep it to one thread: two are slower on galleries of this size."""
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


def _unit(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) scaled to unit length, and their lengths (N,)."""
    lengths = np.maximum(np.linalg.norm(features, axis=1), 1e-12).astype(np.float32)
    return np.ascontiguousarray(features / lengths[:, None], np.float32), lengths


def _list_folder(folder: Path) -> list[str]:
    """Return the paths of all images below a folder, relative to it."""
    if not folder.is_dir():
        raise errors.GalleryError(f"{folder} is not a folder: name one that holds images")
    sources = [path.relative_to(folder).as_posix() for path in images.find(folder)]
    if not sources:
        raise errors.GalleryError(
            f"{folder} holds no images: put some there ({', '.join(sorted(images.SUFFIXES))}), or name another folder"
        )
    return sources


def _class_of(path: str) -> str | None:
    """Take the first folder of a path as the class."""
    return path.partition("/")[0] if "/" in path else None


Batch: TypeAlias = tuple[list[np.ndarray], list[int], list[str]]  # images uint8 (H, W, 3), labels or -1, sources


def _dataset_batches(splits: list[Dataset]) -> Iterator[tuple[int, Batch]]:
    """Read data sets in batches; yield how many images were read, and the batch."""
    read = 0
    for dataset in splits:
        if dataset.classes != splits[0].classes:
            raise errors.GalleryError(f"{dataset.name} has other classes than {splits[0].name}: index one data set")
        for start in range(0, len(dataset), BATCH):
            stop = min(start + BATCH, len(dataset))
            rows = range(start, stop)
            labels = [-1] * len(rows) if dataset.labels is None else dataset.labels[start:stop].tolist()
            read += len(rows)
            sources = [f"{dataset.name}/{dataset.split}/{row}" for row in rows]
            yield read, (list(dataset.images[start:stop]), labels, sources)


def _folder_batches(
    folder: Path, paths: list[str], classes: tuple[str, ...], skipped: list[str] | None
) -> Iterator[tuple[int, Batch]]:
    """Read a folder's images in batches, as `_dataset_batches`; note what is broken in `skipped`, or raise."""
    number: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    for start in range(0, len(paths), BATCH):
        pictures, labels, sources = [], [], []
        for path in paths[start : start + BATCH]:
            try:
                pictures.append(images.read(folder / path))
            except errors.ImageError as problem:
                if skipped is None:
                    raise errors.GalleryError(
                        f"{folder / path}: {problem}. Replace or remove it, or leave out what is broken with "
                        "--skip-broken"
                    ) from None
                skipped.append(f"{folder / path}: {problem}")
                continue
            labels.append(number.get(_class_of(path), -1))
            sources.append(path)
        yield min(start + BATCH, len(paths)), (pictures, labels, sources)


def _image_batches(
    given: Sequence[ImageLike], labels: Sequence[str | None], classes: tuple[str, ...], skipped: list[str] | None
) -> Iterator[tuple[int, Batch]]:
    """Read single images in batches, as `_folder_batches`."""
    number: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    for start in range(0, len(given), IN_MEMORY_BATCH):
        stop = min(start + IN_MEMORY_BATCH, len(given))
        pictures, numbers, sources = [], [], []
        for row in range(start, stop):
            image = given[row]
            source = Path(image).name if isinstance(image, str | os.PathLike) else str(row + 1)
            try:
                pictures.append(images.read(image))
            except errors.ImageError as problem:
                if skipped is None:
                    raise errors.GalleryError(f"image {row + 1}: {problem}. Replace it or leave it out") from None
                skipped.append(f"image {row + 1}: {problem}")
                continue
            numbers.append(number.get(labels[row], -1))
            sources.append(source)
        yield stop, (pictures, numbers, sources)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_files(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    try:
        manifest = from_dict(Manifest, json.loads((folder / MANIFEST).read_bytes()))
        files = {name: (folder / name).read_bytes() for name in (INDEX, TENSORS)}
    except FileNotFoundError as problem:
        raise errors.GalleryError(
            f"{problem.filename} is not there: a gallery is {INDEX}, {TENSORS} and {MANIFEST}; "
            "build one with Gallery.build"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, errors.ArgumentError) as problem:
        raise _damaged(folder, f"{MANIFEST}: {problem}") from None
    if manifest.format != FORMAT or manifest.metric != "cosine":
        raise _damaged(folder, f"format {manifest.format} with metric {manifest.metric!r} is not known here")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest.sha256.get(name):
            raise _damaged(folder, f"{name} is not the file that {MANIFEST} lists")
    return manifest, files


def _damaged(folder: Path, problem: str) -> errors.GalleryError:
    return errors.GalleryError(f"the gallery in {folder} is damaged ({problem}): build it anew with Gallery.build")
