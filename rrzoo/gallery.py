"""Galleries: images that can be searched by a picture. The only user of FAISS.

A gallery holds, for each of its images, the feature of one model, a label, a thumbnail and a source. On disk it is
three files: `index.faiss`, `gallery.safetensors` and the manifest `gallery.json`, which names the model and the
SHA-256 of the other two.
"""

import hashlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rrzoo import datasets, errors, images
from rrzoo.datasets import Dataset
from rrzoo.images import Images
from rrzoo.recipes import from_dict

INDEX = "index.faiss"
TENSORS = "gallery.safetensors"
MANIFEST = "gallery.json"
FORMAT = 1
THUMBNAIL = 160  # px, the longer side
BATCH = 256  # images read and embedded at once
SHIPPED = ("clay10",)  # data sets that come with the package, whose images need no thumbnails

Progress = Callable[[Iterable[int], int], Iterable[int]]


class Embedder(Protocol):
    """What a gallery needs of a model."""

    @property
    def name(self) -> str:
        """Name in the zoo."""

    @property
    def fingerprint(self) -> str:
        """What distinguishes its features from those of other models."""

    def features(self, images: Images) -> np.ndarray:
        """Return float32 (N, D)."""


class Pictures(Protocol):
    """The thumbnails of a gallery, by row."""

    def __getitem__(self, row: int, /) -> Image.Image:
        """Return one."""


class Thumbnails:
    """Thumbnails kept as WebP files in memory."""

    def __init__(self, encoded: list[bytes]) -> None:
        """Take WebP files."""
        self.encoded = encoded

    def __getitem__(self, row: int, /) -> Image.Image:
        """Decode one."""
        return Image.open(io.BytesIO(self.encoded[row]), formats=("WEBP",)).convert("RGB")

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
    ) -> None:
        """Join the parts: a FAISS index of N unit vectors, and N of everything else."""
        self.model = model
        self._index = index
        self._lengths = lengths  # float32 (N,): of the features before they were scaled to unit length
        self.labels = labels  # int64 (N,): numbers of `classes`, -1 for none
        self.classes = classes
        self.sources = sources
        self._pictures = pictures

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)

    @classmethod
    def build(
        cls, model: Embedder, source: str | os.PathLike[str] | Dataset, progress: Progress | None = None
    ) -> "Gallery":
        """Index a folder of images, or a data set.

        Args:
            model: whose features are indexed.
            source: a data set; or a folder, with all below it, where the first folder of an image's path is its label.
            progress: wraps the numbers of the first images of each batch, given the number of images.

        Raises:
            errors.GalleryError: there is no such folder, no image in it, or an image that can't be read.
        """
        if isinstance(source, Dataset):
            read: Callable[[int, int], list[np.ndarray]] = lambda start, stop: list(source.images[start:stop])  # noqa: E731
            sources = [f"{source.name}/{source.split}/{row}" for row in range(len(source))]
            labels, classes = source.known_labels, source.classes
            shipped = source.name in SHIPPED
        else:
            folder = Path(source)
            sources = _list_folder(folder)
            labels, classes = _labels(sources)
            read = lambda start, stop: _read(folder, sources[start:stop])  # noqa: E731
            shipped = False

        features, encoded = [], []
        starts = range(0, len(sources), BATCH)
        for start in progress(starts, len(sources)) if progress else starts:
            batch = read(start, start + BATCH)
            features.append(model.features(batch))
            if not shipped:
                encoded += [Thumbnails.encode(image) for image in batch]
        unit, lengths = _unit(np.concatenate(features))
        index = _faiss().IndexFlatIP(unit.shape[1])
        index.add(unit)
        pictures = DatasetPictures(source) if shipped and isinstance(source, Dataset) else Thumbnails(encoded)
        return cls(model, index, lengths, labels, classes, sources, pictures)

    def search(self, images: Images, k: int = 12) -> list[list[Hit]]:
        """Find the k nearest images to each of `images`, nearest first, by cosine similarity of the features.

        Returns:
            a list of hits for each query: k of them, or all images where the gallery has fewer.

        Raises:
            errors.ArgumentError: k is below 1.
        """
        if k < 1:
            raise errors.ArgumentError(f"k is {k}: ask for at least 1 hit")
        queries, _ = _unit(self.model.features(images))
        scores, rows = self._index.search(queries, min(k, len(self)))
        return [
            [self._hit(int(row), float(score)) for row, score in zip(found_rows, found_scores, strict=True)]
            for found_rows, found_scores in zip(rows, scores, strict=True)
        ]

    def features(self) -> np.ndarray:
        """Return the features of all images, float32 (N, D), not of unit length, as the relation head takes them."""
        return self._index.reconstruct_n(0, len(self)) * self._lengths[:, None]

    def _hit(self, row: int, score: float) -> Hit:
        label = self.classes[self.labels[row]] if self.labels[row] >= 0 else None
        return Hit(score, label, self._pictures[row], self.sources[row], row)

    def save(self, folder: Path) -> None:
        """Write the three files into `folder`. The manifest comes last: what is interrupted before is refused."""
        tensors = {"labels": self.labels, "lengths": self._lengths}
        dataset = None
        if isinstance(self._pictures, Thumbnails):
            encoded = self._pictures.encoded
            tensors["thumbnails"] = np.frombuffer(b"".join(encoded), np.uint8)
            tensors["thumbnail_ends"] = np.cumsum([len(file) for file in encoded], dtype=np.int64)
        elif isinstance(self._pictures, DatasetPictures):
            dataset = f"{self._pictures.dataset.name}/{self._pictures.dataset.split}"
        files = {INDEX: _faiss().serialize_index(self._index).tobytes(), TENSORS: save_tensors(tensors)}
        manifest = Manifest(
            model=self.model.name,
            fingerprint=self.model.fingerprint,
            rows=len(self),
            dimension=self._index.d,
            metric="cosine",
            classes=self.classes,
            sources=tuple(self.sources),
            dataset=dataset,
            sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        )
        files[MANIFEST] = json.dumps(asdict(manifest), indent=1).encode()
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            unfinished = folder / f".{name}.{os.getpid()}"
            unfinished.write_bytes(content)
            unfinished.replace(folder / name)

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
            content, ends = tensors["thumbnails"].tobytes(), [0, *tensors["thumbnail_ends"].tolist()]
            if len(ends) != rows + 1 or ends != sorted(ends) or ends[-1] != len(content):
                raise ValueError("its thumbnails do not fit its rows")
            pictures = Thumbnails([content[a:b] for a, b in itertools.pairwise(ends)])
        return cls(model, index, lengths, labels, manifest.classes, manifest.sources, pictures)


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


def _labels(sources: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Take the first folder of each path as its label."""
    names = [source.partition("/")[0] if "/" in source else None for source in sources]
    classes = tuple(sorted({name for name in names if name is not None}))
    number: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    return np.array([number.get(name, -1) for name in names], np.int64), classes


def _read(folder: Path, sources: list[str]) -> list[np.ndarray]:
    pictures = []
    for source in sources:
        try:
            pictures.append(images.read(folder / source))
        except errors.ImageError as problem:
            raise errors.GalleryError(f"{folder / source}: {problem}. Replace or remove it") from None
    return pictures


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
