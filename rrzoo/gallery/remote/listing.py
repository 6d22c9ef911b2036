"""What is below an address: files of pictures, shards and tables of them."""

import functools
import tarfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from rrzoo import errors, images
from rrzoo.gallery import sources
from rrzoo.gallery.backends.lance_connection import SCHEME
from rrzoo.gallery.remote import lance_tables, shards, tables
from rrzoo.gallery.remote.addresses import Range, open_address
from rrzoo.gallery.sources import Picture, PictureSource

LISTERS = 16  # shards and tables that are looked into at once


def is_remote(source: str) -> bool:
    """Say whether a source is an address, a shard or a table."""
    named = "://" in source or source.startswith(SCHEME)
    return named or (source.endswith((shards.SUFFIX, tables.SUFFIX)) and Path(source).is_file())


def of_address(address: str, identity: str | None = None) -> PictureSource:
    """List the pictures below an address, or in a shard or table; the first folder of a file's path is its label.

    Args:
        address: such as s3://bucket/prefix, gs://bucket/prefix, photos.parquet, shard.tar or lance:photos.lance.
        identity: what tells it from all others; default: the address.

    Raises:
        errors.ArgumentError: pyarrow is missing, or knows no such kind of address.
        errors.GalleryError: it can't be read, or there is no picture.
    """
    if address.startswith(SCHEME):
        return _source(list(lance_tables.of_table(address)), address, identity)
    filesystem, top = open_address(address)
    try:
        found = _files(filesystem, top)
        with ThreadPoolExecutor(LISTERS) as listers:
            pictures = [
                one for several in listers.map(functools.partial(_pictures, address, top), found) for one in several
            ]
    except (OSError, ValueError, tarfile.TarError) as problem:
        raise errors.GalleryError(f"{address} can't be read: {errors.first_line(problem)}") from None
    pictures.sort(key=lambda picture: picture.source.split("/"))
    return _source(pictures, address, identity, _ignored(found))


def _source(pictures: list[Picture], address: str, identity: str | None, notes: tuple[str, ...] = ()) -> PictureSource:
    if not pictures:
        raise errors.GalleryError(
            f"{address} holds no pictures: image files ({', '.join(sorted(images.SUFFIXES))}) are read, and shards "
            f"({shards.SUFFIX}) and tables ({tables.SUFFIX}) of them"
        )
    return PictureSource(
        pictures,
        sources.classes_of(pictures),
        batch=sources.BATCH,
        parallel=True,
        folder=identity or address,
        notes=notes,
    )


def _files(filesystem: Any, top: str) -> list[Any]:
    """Return all files at or below a path."""
    from pyarrow.fs import FileSelector, FileType

    status = filesystem.get_file_info(top)
    if status.type == FileType.File:
        return [status]
    return [one for one in filesystem.get_file_info(FileSelector(top, recursive=True)) if one.type == FileType.File]


def _pictures(address: str, top: str, file: Any) -> list[Picture]:
    """List the pictures that a file is or holds."""
    suffix = PurePosixPath(file.path).suffix.lower()
    name = file.path.removeprefix(top).lstrip("/") or PurePosixPath(file.path).name
    stamp = file.size, file.mtime_ns or 0
    if suffix == shards.SUFFIX:
        return list(shards.of_shard(address, file.path, name, stamp))
    if suffix == tables.SUFFIX:
        return list(tables.of_table(address, file.path, name, stamp))
    if suffix in images.SUFFIXES:
        label = name.partition("/")[0] if "/" in name else None
        return [Picture(name, stamp, label, name, Range(address, file.path, 0, file.size))]
    return []


def _ignored(found: Sequence[Any]) -> tuple[str, ...]:
    known = {*images.SUFFIXES, shards.SUFFIX, tables.SUFFIX}
    count = Counter(suffix for one in found if (suffix := PurePosixPath(one.path).suffix.lower()) not in known)
    count.pop(".cls", None)
    if not count:
        return ()
    kinds = ", ".join(f"{number:,} {suffix or 'without a suffix'}" for suffix, number in count.most_common(5))
    return (f"{count.total():,} files are ignored for their type: {kinds}",)
