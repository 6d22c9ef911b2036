"""The rows of a gallery as arrays, and as the tensors that are kept on disk."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrzoo.gallery.backends.protocol import check_unit
from rrzoo.gallery.thumbnails import Thumbnails, join

NEEDED = {"unit", "lengths", "labels", "sources", "source_ends"}
OPTIONAL = {"relation", "stamps", "thumbnails", "thumbnail_ends"}


@dataclass(frozen=True)
class Rows:
    """N pictures as a gallery keeps them."""

    unit: np.ndarray  # float32 (N, E): rows of `embed`
    lengths: np.ndarray  # float32 (N,): of the features that the relation head takes
    labels: np.ndarray  # int64 (N,): numbers of the classes, -1 for none
    sources: tuple[str, ...]  # N: see `sources.Picture`
    stamps: np.ndarray | None  # int64 (N, 2) of a folder's files: see `sources.Stamp`
    thumbnails: Thumbnails | None  # None where the pictures ship with the package
    # float16 or float32 (N, D): what the relation head takes, where that is not `unit` times `lengths`
    relation: np.ndarray | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.lengths)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what `from_tensors` takes."""
        # names of files that are not UTF-8 are kept as they are
        sources, ends = join(source.encode("utf-8", "surrogateescape") for source in self.sources)
        tensors = {"unit": self.unit, "lengths": self.lengths, "labels": self.labels}
        tensors |= {"sources": sources, "source_ends": ends}
        if self.relation is not None:
            tensors["relation"] = self.relation
        if self.stamps is not None:
            tensors["stamps"] = self.stamps
        if self.thumbnails is not None:
            tensors |= {"thumbnails": self.thumbnails.content, "thumbnail_ends": self.thumbnails.ends}
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], classes: int) -> "Rows":
        """Build rows of tensors that nobody has checked, with labels of so many classes.

        Raises:
            ValueError: one is missing or unknown, or of another type or shape, or holds what can't be.
        """
        names = tensors.keys()
        if not names >= NEEDED or names - NEEDED - OPTIONAL or ("thumbnails" in names) != ("thumbnail_ends" in names):
            raise ValueError(f"its tensors are {', '.join(sorted(names))}")
        unit, lengths, labels = (tensors[name] for name in ("unit", "lengths", "labels"))
        rows = len(unit) if unit.ndim == 2 else 0
        _check(rows > 0 and unit.shape[1] > 0, "unit", unit)
        _check(lengths.dtype == np.float32 and lengths.shape == (rows,), "lengths", lengths)
        _check(labels.dtype == np.int64 and labels.shape == (rows,), "labels", labels)
        check_unit(unit, unit.shape[1])
        if not np.isfinite(lengths).all() or lengths.min() < 0:
            raise ValueError("its lengths are out of range")
        if labels.min() < -1 or labels.max() >= classes:
            raise ValueError(f"its labels are not numbers of {classes} classes")
        relation = tensors.get("relation")
        if relation is not None:
            fits = relation.ndim == 2 and len(relation) == rows and relation.shape[1] > 0
            _check(fits and relation.dtype in (np.float16, np.float32), "relation", relation)
            if not np.isfinite(relation).all():
                raise ValueError("its features for the relation head are not finite")
        stamps = tensors.get("stamps")
        if stamps is not None:
            _check(stamps.dtype == np.int64 and stamps.shape == (rows, 2), "stamps", stamps)
        content, ends = tensors["sources"], tensors["source_ends"]
        _check_parts("sources", content, ends, rows)
        text, starts = content.tobytes(), [0, *ends[:-1].tolist()]
        sources = tuple(
            text[start:end].decode("utf-8", "surrogateescape") for start, end in zip(starts, ends.tolist(), strict=True)
        )
        thumbnails = None
        if "thumbnails" in names:
            _check_parts("thumbnails", tensors["thumbnails"], tensors["thumbnail_ends"], rows)
            thumbnails = Thumbnails(tensors["thumbnails"], tensors["thumbnail_ends"])
        return cls(unit, lengths, labels, sources, stamps, thumbnails, relation)


def _check_parts(name: str, content: np.ndarray, ends: np.ndarray, rows: int) -> None:
    """Refuse bytes that are not those of as many parts as there are rows, one after another."""
    _check(content.dtype == np.uint8 and content.ndim == 1, name, content)
    _check(ends.dtype == np.int64 and ends.shape == (rows,), f"the ends of {name}", ends)
    if (ends < 0).any() or (ends[1:] < ends[:-1]).any() or ends[-1] != len(content):
        raise ValueError(f"its {name} do not end one after another")


def _check(fits: bool, name: str, tensor: np.ndarray) -> None:
    if not fits:
        raise ValueError(f"{name} is {tensor.dtype} {tensor.shape}, which does not fit its other parts")
