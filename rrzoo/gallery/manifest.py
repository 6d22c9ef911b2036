"""The manifest of a gallery: what it is of, and which files hold it."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrzoo import datasets, errors
from rrzoo import files as rrzoo_files
from rrzoo.gallery.pictures import IN_PLACE
from rrzoo.gallery.rows import Split
from rrzoo.records import MOST_BYTES, from_dict, parse

MANIFEST = "manifest.json"
FORMAT = 4  # 3 has one segment, with the generation's number; 2 has features in float32, and one split at most
PARTS = {
    "features": ("unit", "lengths", "relation"),
    "rows": ("labels", "sources", "source_ends", "stamps"),
    "thumbnails": ("thumbnails", "thumbnail_ends"),
}
REMOVED = "removed"
INDEX = "index"  # of a segment, made here and not listed: see `kept_index`
FORMAT_1 = ("gallery.json", "gallery.safetensors", "index.faiss")  # files of the older format, which is not read


@dataclass(frozen=True)
class Segment:
    """Rows that were written at once, and never change."""

    number: int  # the generation that they were written in
    rows: int  # with those that were removed since
    classes: tuple[str, ...]  # whose numbers its labels are


@dataclass(frozen=True)
class GalleryManifest:
    """All of a gallery's manifest.json."""

    model: str
    fingerprint: str  # of the model
    dimension: int
    metric: str  # "cosine"
    rows: int  # without those that were removed
    classes: tuple[str, ...]
    description: str | None  # what the images are, where a data set says so
    splits: tuple[Split, ...] = ()  # whose images the pictures are; empty: the gallery has thumbnails
    generation: int = 0  # from 1
    segments: tuple[Segment, ...] = ()
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256
    format: int = FORMAT
    folder: str | None = None  # that the pictures are in, without links: see `folders.identity`

    @property
    def written(self) -> int:
        """Rows of all segments, with those that were removed."""
        return sum(segment.rows for segment in self.segments)

    @property
    def removed(self) -> str | None:
        """Name of the file that lists the removed rows; None where none were."""
        return name_of(REMOVED, self.generation) if self.written > self.rows else None

    def names(self, segment: Segment) -> list[str]:
        """Return the names of a segment's files."""
        parts = [part for part in PARTS if not (self.splits and part == "thumbnails")]
        return [name_of(part, segment.number) for part in parts]


def read(folder: Path) -> GalleryManifest:
    """Read the manifest of the gallery in a folder.

    Raises:
        errors.GalleryError: there is none, or it is damaged or of another format.
    """
    older = errors.GalleryError(f"the gallery in {folder} is of an older format: {how_to_build()}")
    try:
        data = parse(rrzoo_files.content(folder / MANIFEST, MOST_BYTES))
        known = isinstance(data, dict) and "fingerprint" in data
        if not known and (folder / FORMAT_1[0]).exists():
            raise older
        if known and data.get("format") == 2:
            data = _of_format_2(data)
        if known and data.get("format") == 3:
            data = _of_format_3(data)
        if known and data.get("format") != FORMAT:
            raise errors.GalleryError(
                f"the gallery in {folder} is of format {data.get('format')!r:.20}, this version reads {FORMAT}: "
                f"upgrade rrzoo, or {how_to_build()}"
            )
        manifest = from_dict(GalleryManifest, data)
        _check(manifest)
    except FileNotFoundError:
        if (folder / FORMAT_1[0]).exists():
            raise older from None
        raise errors.GalleryError(f"{folder} holds no {MANIFEST}, so no gallery: {how_to_build()}") from None
    except errors.GalleryError:
        raise
    except (OSError, ValueError, RecursionError) as problem:  # JSON and Unicode errors are ValueErrors, and ours
        raise damaged(folder, f"{MANIFEST}: {problem}") from None
    return manifest


def _of_format_2(data: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest of format 2 says, in the fields of format 3."""
    rest = {name: value for name, value in data.items() if name != "dataset"}
    name, _, split = str(data.get("dataset")).partition("/")
    splits = [{"dataset": name, "split": split, "rows": data.get("rows")}] if data.get("dataset") is not None else []
    return rest | {"splits": splits, "format": 3}


def _of_format_3(data: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest of format 3 says, in the fields of this one."""
    segment = {"number": data.get("generation"), "rows": data.get("rows"), "classes": data.get("classes")}
    return data | {"segments": [segment], "format": FORMAT}


def _check(manifest: GalleryManifest) -> None:
    """Refuse what `write` would not write.

    Raises:
        ValueError: it is so.
    """
    if manifest.metric != "cosine" or min(manifest.generation, manifest.rows, manifest.dimension) < 1:
        raise ValueError("metric, generation, rows or dimension is out of range")
    for one in manifest.splits:
        if one.dataset not in IN_PLACE or one.split not in datasets.labelled_splits(one.dataset) or one.rows < 1:
            raise ValueError(f"{one.rows} images of {one.dataset}/{one.split} are nothing that a gallery shows")
    numbers = [segment.number for segment in manifest.segments]
    if not numbers or numbers != sorted({*numbers}) or not 1 <= numbers[0] <= numbers[-1] <= manifest.generation:
        raise ValueError(f"its segments {numbers} are not of generations up to {manifest.generation}")
    if min(segment.rows for segment in manifest.segments) < 1 or manifest.written < manifest.rows:
        raise ValueError(f"its segments have {manifest.written} rows, and it has {manifest.rows}")
    if manifest.splits and (len(numbers) > 1 or manifest.removed):
        raise ValueError("images of a data set are one segment, of which nothing is removed")
    names = {name for segment in manifest.segments for name in manifest.names(segment)}
    if manifest.removed:
        names.add(manifest.removed)
    if manifest.files.keys() != names:
        raise ValueError(f"it lists other files than {', '.join(sorted(names))}")


def owns(folder: Path) -> bool | None:
    """Return whether the manifest.json of a folder is a gallery's, or something else's; None: none, or damaged."""
    try:
        data: Any = json.loads(rrzoo_files.content(folder / MANIFEST, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return isinstance(data, dict) and "fingerprint" in data


def damaged(folder: Path, problem: str) -> errors.DamagedGalleryError:
    """Return the error for a gallery that can't be used."""
    return errors.DamagedGalleryError(f"the gallery in {folder} is damaged ({problem}): {how_to_build()}")


def name_of(part: str, number: int) -> str:
    """Return the name of a file."""
    return f"{part}-{number}.safetensors"


def number_of(name: str) -> int:
    """Return the number in the name of a file, or 0 where that is no gallery's."""
    parts = "|".join([*PARTS, REMOVED, INDEX])
    match = re.fullmatch(rf"(?:{parts})-([1-9]\d{{0,17}})\.safetensors", name, re.ASCII)
    return int(match[1]) if match else 0


def how_to_build() -> str:
    """Say what to do about a gallery that can't be read."""
    return "build it anew with Gallery.build, or: python -m rrzoo index"
