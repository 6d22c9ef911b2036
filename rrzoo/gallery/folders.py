"""The pictures of a folder, listed; nothing that is known of it is lost because a part of it can't be read today."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.gallery import sources
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.sources import Picture, PictureSource, Stamp

LARGEST = 2**63 - 1  # ns since 1970: the year 2262, beyond which file systems reach, and arrays don't
NAMED = 5  # suffixes that are counted by name


def identity(folder: Path) -> str:
    """Return a folder's path without links, as text that can be kept: bytes that are not UTF-8 are spelt out."""
    return spelt_out(os.fspath(folder.resolve()))


def spelt_out(name: str) -> str:
    """Return a name with its bytes that are not UTF-8 as backslash, x and two digits."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def of_folder(folder: Path, exclude: Sequence[str] = (), known: Iterable[Rows] = ()) -> PictureSource:
    """List the images below a folder; the first folder of an image's path is its label.

    Args:
        folder: of images.
        exclude: patterns of what is left out: see `images.walk`.
        known: rows of the same folder; those whose files can't be looked at now are listed as they are there.

    Raises:
        errors.GalleryError: there is no such folder, it can't be read, or there is no image in it.
    """
    if not folder.is_dir():
        raise errors.GalleryError(f"{folder} is not a folder: name one that holds images, or give a list of images")
    try:
        found = images.walk(folder, exclude)
    except OSError as problem:
        raise errors.GalleryError(f"{folder} can't be read ({problem.strerror}): nothing was changed") from None
    pictures = []
    above = str(folder / "x")[:-1]  # for a million pictures, Path takes half of the time
    for source, size, changed in found.files:
        stamp, path = (size, max(-LARGEST, min(changed, LARGEST))), above + source
        pictures.append(Picture(source, stamp, _label(source), path, partial(_read, path)))
    if not pictures:
        raise errors.GalleryError(
            f"{folder} holds no images: put some there ({', '.join(sorted(images.SUFFIXES))}), or name another folder"
        )
    kept = _out_of_sight(found, known)
    if kept:
        pictures += kept
        pictures.sort(key=lambda picture: picture.source.split("/"))
    return PictureSource(
        pictures,
        sources.classes_of(pictures),
        batch=sources.BATCH,
        parallel=True,
        folder=identity(folder),
        notes=_notes(found, kept),
    )


def _read(path: str, shorter_side: int, notes: list[str]) -> np.ndarray:
    return images.read(path, shorter_side=shorter_side, notes=notes)


def _label(source: str) -> str | None:
    return spelt_out(source.partition("/")[0]) if "/" in source else None


def _out_of_sight(found: images.Found, known: Iterable[Rows]) -> list[Picture]:
    """Return the pictures that are known, and may still be there, though nobody can look now."""
    places = {*found.unreadable, *found.empty}
    listed = {source for source, *_ in found.files}
    stamps: dict[str, Stamp] = {}
    for rows in known if places else ():
        if rows.stamps is None:
            continue
        for source, (size, changed) in zip(rows.sources, np.asarray(rows.stamps).tolist(), strict=True):
            if source not in listed and _place(source, places):
                stamps[source] = size, changed
    return [Picture(source, stamp, _label(source), source, _never) for source, stamp in stamps.items()]


def _place(source: str, places: Iterable[str]) -> str | None:
    """Return which of some files and folders a picture is or is in."""
    parts = source.split("/")
    return next((path for end in range(len(parts), 0, -1) if (path := "/".join(parts[:end])) in places), None)


def _never(shorter_side: int, notes: list[str]) -> np.ndarray:
    raise errors.ImageError("it can't be looked at")  # what is known is not read


def _notes(found: images.Found, kept: Sequence[Picture]) -> tuple[str, ...]:
    """Say what was left out of a folder."""
    places = {*found.unreadable, *found.empty}
    count = Counter(_place(picture.source, places) for picture in kept)
    notes = []
    for path, reason in found.unreadable.items():
        rest = f": the {count[path]:,} pictures known of it are kept" if count[path] else ""
        notes.append(f"{path} can't be read ({reason}){rest}")
    for path in filter(count.get, found.empty):
        notes.append(
            f"{path} is empty, as if a drive were off: the {count[path]:,} pictures known of it are kept; remove the "
            "folder itself to drop them"
        )
    notes += [f"{path} is a link to a folder that is gone through already" for path in found.links]
    if found.ignored:
        common = sorted(found.ignored.items(), key=lambda item: (-item[1], item[0]))[:NAMED]
        kinds = [f"{number:,} {suffix or 'without a suffix'}" for suffix, number in common]
        more = ", ..." if len(found.ignored) > NAMED else ""
        notes.append(f"{found.ignored.total():,} files are ignored for their type: {', '.join(kinds)}{more}")
    return tuple(notes)
