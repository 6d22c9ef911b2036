"""The galleries that `rrzoo index` keeps of one model, side by side: one of each folder of pictures, by its path."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from rrzoo import errors
from rrzoo import files as rrzoo_files
from rrzoo.gallery import listing, storage
from rrzoo.gallery.sources import Folder


@dataclass(frozen=True)
class Listed:
    """What is to be said of a gallery without reading it."""

    name: str
    rows: int | None  # None: it is damaged, of an older format, or was never finished
    of: str  # the folder of its pictures, or what they are


def name_for(shelf: Path, source: Folder) -> str:
    """Return the name of the gallery of a folder of pictures, or of those below an address.

    It is the folder's own name, with eight digits that its path yields where that name is another folder's or a data
    set's already. So no two folders share a gallery, and one that has a gallery keeps it.

    Args:
        shelf: where the galleries of a model are.
        source: of pictures.
    """
    path, name = listing.identity(source), listing.name(source)
    longer = f"{name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    for known in (longer, name):
        manifest = storage.read_manifest(shelf / known)
        if manifest is not None and manifest.folder == path:
            return known
    return longer if storage.is_gallery(shelf / name) else name


def name_for_dataset(shelf: Path, name: str) -> str:
    """Return the name of the gallery of a data set: its own, unless a folder of pictures has that."""
    manifest = storage.read_manifest(shelf / name)
    return name if manifest is None or manifest.folder is None else f"{name}-dataset"


def listed(shelf: Path) -> list[Listed]:
    """Return what is there, by name."""
    found = []
    for folder in sorted(shelf.glob("[!.]*")):
        manifest = storage.read_manifest(folder)
        if manifest is not None:
            found.append(Listed(folder.name, manifest.rows, manifest.folder or manifest.description or "a folder"))
        elif folder.is_dir():
            found.append(Listed(folder.name, None, "not finished, damaged, or of an older format"))
    return found


def remove(shelf: Path, name: str) -> None:
    """Remove a gallery; the pictures that it is of stay where they are.

    Raises:
        errors.GalleryError: there is none of that name, or it can't be removed.
    """
    names = [one.name for one in listed(shelf)]
    if name not in names:
        raise errors.GalleryError(f"no gallery {name!r} is in {shelf}: {errors.choices(name, names)}")
    going = shelf / f"{rrzoo_files.UNFINISHED}{name}"
    try:
        rrzoo_files.remove_abandoned(shelf)  # of a removal that was cut off
        (shelf / name).rename(going)  # from here on it is gone, whatever happens
        shutil.rmtree(going)
    except OSError as problem:
        raise errors.GalleryError(f"the gallery {name!r} can't be removed: {problem.strerror}") from None
