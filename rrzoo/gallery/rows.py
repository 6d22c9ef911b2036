"""The rows of a gallery as arrays, and as the tensors that are kept on disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rrzoo import errors
from rrzoo.gallery.backends.protocol import check_unit
from rrzoo.gallery.blobs import ByRow, Joined, Texts
from rrzoo.gallery.columns import Column, InTurn, Values, blocks
from rrzoo.gallery.tensors import Streamed, Tensor
from rrzoo.gallery.thumbnails import Thumbnails

NEEDED = {"unit", "lengths", "labels"}
OWN = {"sources", "source_ends", "thumbnails", "thumbnail_ends"}  # of what is no split of a data set
OPTIONAL = {"relation", "stamps"}


@dataclass(frozen=True)
class Split:
    """All images of one split of a data set, in its order."""

    dataset: str
    split: str
    rows: int

    @property
    def sources(self) -> list[str]:
        """Names of the images: data set, split and number."""
        return [f"{self.dataset}/{self.split}/{row}" for row in range(self.rows)]


@dataclass(frozen=True)
class Rows:
    """N pictures as a gallery keeps them. On disk, features are float16, and rows of splits keep nothing else of them.

    What float16 rounds off changes a cosine similarity by 1e-4 at most or so; what is read of a file is scaled to unit
    length again.
    """

    unit: Values  # float32 (N, E): rows of `embed`
    lengths: Values  # float32 (N,): of the features that the relation head takes
    labels: Values  # int64 (N,): numbers of the classes, -1 for none
    sources: Sequence[str]  # N: see `sources.Picture`
    stamps: Values | None  # int64 (N, 2) of a folder's files: see `sources.Stamp`
    thumbnails: Thumbnails | None  # None of splits
    # float32 (N, D): what the relation head takes; None: `unit` times `lengths` is it, or the gallery does without
    relation: Values | None = None
    splits: tuple[Split, ...] = ()  # that the rows are all images of, one after another; empty: of something else
    # told which rows, int64 (M,), are going to be shown, where it is better to read them at once; None: it is not
    ahead: Callable[[np.ndarray], None] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.lengths)

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` takes."""
        tensors: dict[str, Tensor] = {
            "unit": _half(self.unit),
            "lengths": np.asarray(self.lengths),
            "labels": np.asarray(self.labels),
        }
        if self.relation is not None:
            tensors["relation"] = _half(self.relation)
        if self.stamps is not None:
            tensors["stamps"] = np.asarray(self.stamps)
        if not self.splits:
            # names of files that are not UTF-8 are kept as they are
            texts = Joined.of(source.encode("utf-8", "surrogateescape") for source in self.sources)
            tensors |= {"sources": texts.content, "source_ends": texts.ends}
        if self.thumbnails is not None:
            ends = np.cumsum(self.thumbnails.files.sizes())
            tensors["thumbnail_ends"] = ends
            tensors["thumbnails"] = Streamed(np.dtype(np.uint8), (int(ends[-1]),), _bytes(self.thumbnails.files))
        return tensors

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, np.ndarray],
        classes: int,
        splits: tuple[Split, ...] = (),
        damaged: Callable[[str], Exception] = ValueError,
    ) -> "Rows":
        """Build rows of tensors that nobody has checked, with labels of so many classes; perhaps of splits.

        Here only types and shapes are looked at: no more is read than is used. What the tensors hold is checked when it
        is used, or by `check`; `damaged` makes what is raised then.

        Raises:
            ValueError: a tensor is missing or unknown, or of another type or shape.
        """
        names = tensors.keys()
        needed = NEEDED if splits else NEEDED | OWN
        if not names >= needed or names - NEEDED - OWN - OPTIONAL:
            raise ValueError(f"its tensors are {', '.join(sorted(names))}")
        unit, lengths, labels = (tensors[name] for name in ("unit", "lengths", "labels"))
        relation, stamps = tensors.get("relation"), tensors.get("stamps")
        rows = len(unit) if unit.ndim == 2 else 0
        _check_features("unit", unit, rows)
        _check(lengths.dtype == np.float32 and lengths.shape == (rows,), "lengths", lengths)
        _check(labels.dtype == np.int64 and labels.shape == (rows,), "labels", labels)
        if relation is not None:
            _check_features("relation", relation, rows)
        if stamps is not None:
            _check(stamps.dtype == np.int64 and stamps.shape == (rows, 2), "stamps", stamps)
        places, reading = InTurn([rows]), Reading(classes, damaged)
        columns = (
            Column([unit], places, reading.unit),
            Column([lengths], places, reading.lengths),
            Column([labels], places, reading.labels),
        )
        related = None if relation is None else Column([relation], places, reading.relation)
        if splits:
            if sum(one.rows for one in splits) != rows:
                raise ValueError(f"it has {rows} rows, its splits have other numbers of images")
            of_splits = tuple(source for one in splits for source in one.sources)
            return cls(*columns, of_splits, stamps, None, related, splits)
        sources = _joined("sources", tensors["sources"], tensors["source_ends"], rows, damaged)
        thumbnails = _joined("thumbnails", tensors["thumbnails"], tensors["thumbnail_ends"], rows, damaged)
        return cls(*columns, Texts(sources), stamps, Thumbnails(thumbnails), related)

    def check(self) -> None:
        """Read all that was built `from_tensors`, and refuse what can't be.

        Raises:
            Exception: what `damaged` makes.
        """
        for values in (self.unit, self.lengths, self.labels, self.relation):
            for _ in blocks(values) if values is not None else ():
                pass
        for joined in (getattr(self.sources, "content", None), self.thumbnails and self.thumbnails.files):
            if isinstance(joined, Joined):
                joined.check()


@dataclass(frozen=True)
class Reading:
    """Checks what is read of a file, and makes of it what `Rows` holds."""

    classes: int  # how many there are
    damaged: Callable[[str], Exception]

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Return features as float32, of unit length."""
        found = self._finite("unit", values)
        try:
            check_unit(found, found.shape[1])
        except errors.ArgumentError as problem:
            raise self.damaged(str(problem)) from None
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found

    def relation(self, values: np.ndarray) -> np.ndarray:
        """Return features for the relation head as float32."""
        return self._finite("relation", values)

    def lengths(self, values: np.ndarray) -> np.ndarray:
        """Return lengths as they are."""
        if len(values) and not (np.isfinite(values).all() and values.min() >= 0):
            raise self.damaged("its lengths are out of range")
        return values

    def labels(self, values: np.ndarray) -> np.ndarray:
        """Return labels as they are."""
        if len(values) and (values.min() < -1 or values.max() >= self.classes):
            raise self.damaged(f"its labels are not numbers of {self.classes} classes")
        return values

    def _finite(self, name: str, values: np.ndarray) -> np.ndarray:
        # torch reads float16 four times as fast as NumPy does
        found: np.ndarray = torch.tensor(values, dtype=torch.float32).numpy()
        if not np.isfinite(found).all():
            raise self.damaged(f"{name} holds features that are not finite")
        return found


def _half(features: Values) -> Tensor:
    """Return features as float16, or as they are where float16 does not reach."""
    largest = max(float(np.abs(some).max(initial=0)) for some in blocks(features))
    dtype = np.dtype(np.float16 if largest <= float(np.finfo(np.float16).max) else np.float32)
    return Streamed(dtype, features.shape, (some.astype(dtype) for some in blocks(features)))


def _bytes(files: ByRow) -> Iterator[np.ndarray]:
    for file in files:
        yield np.frombuffer(file, np.uint8)


def _check_features(name: str, tensor: np.ndarray, rows: int) -> None:
    fits = rows > 0 and tensor.ndim == 2 and len(tensor) == rows and tensor.shape[1] > 0
    _check(fits and tensor.dtype in (np.float16, np.float32), name, tensor)


def _joined(name: str, content: np.ndarray, ends: np.ndarray, rows: int, damaged: Callable[[str], Exception]) -> Joined:
    """Return bytes that are kept one after another, of as many rows as there are."""
    _check(content.dtype == np.uint8 and content.ndim == 1, name, content)
    _check(ends.dtype == np.int64 and ends.shape == (rows,), f"the ends of {name}", ends)
    return Joined(content, ends, lambda problem: damaged(f"its {name} {problem}"))


def _check(fits: bool, name: str, tensor: np.ndarray) -> None:
    if not fits:
        raise ValueError(f"{name} is {tensor.dtype} {tensor.shape}, which does not fit its other parts")
