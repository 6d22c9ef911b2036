"""What `rrzoo index` keeps a gallery of: a folder of this machine, or what is below an address, in a shard or table."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from rrzoo import errors
from rrzoo.gallery import folders, remote
from rrzoo.gallery.backends.lance_connection import SCHEME
from rrzoo.gallery.rows import Rows
from rrzoo.gallery.sources import Folder, PictureSource


def path_of(source: Folder) -> str | None:
    """Return the path of a source on this machine; None of what is elsewhere."""
    path = os.fspath(source).removeprefix(SCHEME)
    return None if "://" in path else path


def absolute(source: str) -> str:
    """Return a source as it is called in any working directory; links stay."""
    path = path_of(source)
    # no Path: a folder's name may be no text
    return source if path is None else source.removesuffix(path) + os.path.abspath(path)  # noqa: PTH100


def identity(source: Folder) -> str:
    """Return what tells a source from all others: an address, or a path without links, see `folders.identity`."""
    text, path = os.fspath(source), path_of(source)
    return text if path is None else text.removesuffix(path) + folders.identity(Path(path))


def name(source: Folder) -> str:
    """Return what a source would be called: the last part of its path."""
    text, path = os.fspath(source), path_of(source)
    last = PurePosixPath(text.partition("?")[0]) if path is None else Path(path).resolve()
    return folders.spelt_out(last.name) or "root"


def listed(source: Folder, exclude: Sequence[str] = (), known: Iterable[Rows] = ()) -> PictureSource:
    """List the pictures of a source: see `folders.of_folder` and `remote.of_address`.

    Raises:
        errors.ArgumentError: something is to be left out of what is no folder.
        errors.GalleryError: it can't be read, or holds no pictures.
    """
    text = os.fspath(source)
    if not remote.is_remote(text):
        return folders.of_folder(Path(source), exclude, known)
    if exclude:
        raise errors.ArgumentError(f"--exclude takes files out of a folder, and {text} is none: leave it away")
    return remote.of_address(text, identity(source))
