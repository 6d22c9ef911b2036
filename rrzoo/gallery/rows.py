"""The rows of a gallery as arrays, and as the tensors that are kept on disk."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrzoo.gallery.backends.protocol import check_unit
from rrzoo.gallery.thumbnails import Thumbnails, join

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

    What float16 rounds off changes a cosine similarity by 1e-4 at most or so; `from_tensors` scales the rows to unit
    length again.
    """

    unit: np.ndarray  # float32 (N, E): rows of `embed`
    lengths: np.ndarray  # float32 (N,): of the features that the relation head takes
    labels: np.ndarray  # int64 (N,): numbers of the classes, -1 for none
    sources: tuple[str, ...]  # N: see `sources.Picture`
    stamps: np.ndarray | None  # int64 (N, 2) of a folder's files: see `sources.Stamp`
    thumbnails: Thumbnails | None  # None of splits
    # float32 (N, D): what the relation head takes; None: `unit` times `lengths` is it, or the gallery does without
    relation: np.ndarray | None = None
    splits: tuple[Split, ...] = ()  # that the rows are all images of, one after another; empty: of something else

    def __len__(self) -> int:
        """Return N."""
        return len(self.lengths)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what `from_tensors` takes."""
        tensors = {"unit": _half(self.unit), "lengths": self.lengths, "labels": self.labels}
        if self.relation is not None:
            tensors["relation"] = _half(self.relation)
        if self.stamps is not None:
            tensors["stamps"] = self.stamps
        if not self.splits:
            # names of files that are not UTF-8 are kept as they are
            sources, ends = join(source.encode("utf-8", "surrogateescape") for source in self.sources)
            tensors |= {"sources": sources, "source_ends": ends}
        if self.thumbnails is not None:
            tensors |= {"thumbnails": self.thumbnails.content, "thumbnail_ends": self.thumbnails.ends}
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], classes: int, splits: tuple[Split, ...] = ()) -> "Rows":
        """Build rows of tensors that nobody has checked, with labels of so many classes; perhaps of splits.

        Raises:
            ValueError: one is missing or unknown, or of another type or shape, or holds what can't be.
        """
        names = tensors.keys()
        needed = NEEDED if splits else NEEDED | OWN
        if not names >= needed or names - NEEDED - OWN - OPTIONAL:
            raise ValueError(f"its tensors are {', '.join(sorted(names))}")
        unit, lengths, labels = (tensors[name] for name in ("unit", "lengths", "labels"))
        rows = len(unit) if unit.ndim == 2 else 0
        unit = _features("unit", unit, rows)
        _check(lengths.dtype == np.float32 and lengths.shape == (rows,), "lengths", lengths)
        _check(labels.dtype == np.int64 and labels.shape == (rows,), "labels", labels)
        check_unit(unit, unit.shape[1])
        if not np.isfinite(lengths).all() or lengths.min() < 0:
            raise ValueError("its lengths are out of range")
        if labels.min() < -1 or labels.max() >= classes:
            raise ValueError(f"its labels are not numbers of {classes} classes")
        relation, stamps = tensors.get("relation"), tensors.get("stamps")
        if relation is not None:
            relation = _features("relation", relation, rows)
        if stamps is not None:
            _check(stamps.dtype == np.int64 and stamps.shape == (rows, 2), "stamps", stamps)
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
        if splits:
            if sum(one.rows for one in splits) != rows:
                raise ValueError(f"it has {rows} rows, its splits have other numbers of images")
            sources = tuple(source for one in splits for source in one.sources)
            return cls(unit, lengths, labels, sources, stamps, None, relation, splits)
        sources = _texts("sources", tensors["sources"], tensors["source_ends"], rows)
        _check_parts("thumbnails", tensors["thumbnails"], tensors["thumbnail_ends"], rows)
        thumbnails = Thumbnails(tensors["thumbnails"], tensors["thumbnail_ends"])
        return cls(unit, lengths, labels, sources, stamps, thumbnails, relation)


def _half(features: np.ndarray) -> np.ndarray:
    """Return features as float16, or as they are where float16 does not reach."""
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    return half if np.isfinite(half).all() else features


def _features(name: str, tensor: np.ndarray, rows: int) -> np.ndarray:
    """Return features (rows, D) as a float32 array of their own.

    Raises:
        ValueError: they are something else, or not finite.
    """
    fits = rows > 0 and tensor.ndim == 2 and len(tensor) == rows and tensor.shape[1] > 0
    _check(fits and tensor.dtype in (np.float16, np.float32), name, tensor)
    if not np.isfinite(tensor).all():
        raise ValueError(f"{name} holds features that are not finite")
    return tensor.astype(np.float32)


def _texts(name: str, content: np.ndarray, ends: np.ndarray, rows: int) -> tuple[str, ...]:
    """Return texts that are kept one after another.

    Raises:
        ValueError: they are not.
    """
    _check_parts(name, content, ends, rows)
    text, starts = content.tobytes(), [0, *ends[:-1].tolist()]
    pairs = zip(starts, ends.tolist(), strict=True)
    return tuple(text[start:end].decode("utf-8", "surrogateescape") for start, end in pairs)


def _check_parts(name: str, content: np.ndarray, ends: np.ndarray, rows: int) -> None:
    """Refuse bytes that are not those of as many parts as there are rows, one after another."""
    _check(content.dtype == np.uint8 and content.ndim == 1, name, content)
    _check(ends.dtype == np.int64 and ends.shape == (rows,), f"the ends of {name}", ends)
    if (ends < 0).any() or (ends[1:] < ends[:-1]).any() or ends[-1] != len(content):
        raise ValueError(f"its {name} do not end one after another")


def _check(fits: bool, name: str, tensor: np.ndarray) -> None:
    if not fits:
        raise ValueError(f"{name} is {tensor.dtype} {tensor.shape}, which does not fit its other parts")
