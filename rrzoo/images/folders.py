"""Which files of a folder are pictures, what is left out, and what can't be looked at."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from rrzoo.images.opening import SUFFIXES

# of cameras, file managers and network drives; what begins with a dot is left out, too
LEFT_OUT = frozenset(
    {"@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"}
    | {"Thumbs.db", "ehthumbs.db", "desktop.ini"}
)


@dataclass
class Found:
    """What a folder holds. Paths are within it, with slashes."""

    files: list[tuple[str, int, int]] = field(default_factory=list)  # pictures by suffix, sorted; bytes; changed, ns
    ignored: Counter[str] = field(default_factory=Counter)  # suffix, lower case -> files that are no pictures by it
    unreadable: dict[str, str] = field(default_factory=dict)  # files and folders that can't be looked at -> why
    links: list[str] = field(default_factory=list)  # that lead to a folder which is gone through already
    empty: list[str] = field(default_factory=list)  # folders with nothing in them


def walk(folder: Path, exclude: Sequence[str] = ()) -> Found:
    """Go through a folder and all below it. Links to folders are followed, but no folder is gone through twice.

    Args:
        folder: to go through.
        exclude: patterns as of a shell; what has such a name, or path within the folder, is left out with all below.

    Raises:
        OSError: the folder itself can't be read.
    """
    found = Found()
    seen = {_identity(folder.stat())}
    folders: list[str] = [""]
    links: list[str] = []
    while folders or links:
        within = folders.pop() if folders else links.pop(0)
        is_link = within != "" and (folder / within).is_symlink()
        try:
            if is_link and (identity := _identity((folder / within).stat())) in seen:
                found.links.append(within)
                continue
            if is_link:
                seen.add(identity)
            with os.scandir(folder / within) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as problem:
            if not within:
                raise
            found.unreadable[within] = problem.strerror or str(problem)
            continue
        if within and not entries:
            found.empty.append(within)
        for entry in entries:
            path = f"{within}/{entry.name}" if within else entry.name
            if not _is_left_out(entry.name, path, exclude):
                _sort_in(entry, path, found, seen, folders, links)
        links.sort()
    found.files.sort(key=lambda file: file[0].split("/"))
    return found


def find(folder: Path) -> list[Path]:
    """Return the image files below a folder, by their suffix, sorted; see `walk` for what is left out."""
    return [folder / path for path, *_ in walk(folder).files] if folder.is_dir() else []


def _sort_in(
    entry: os.DirEntry[str], path: str, found: Found, seen: set[tuple[int, int]], folders: list[str], links: list[str]
) -> None:
    """Say what one name in a folder is: more to go through, a picture, something else, or nobody knows."""
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - of a million names, Path takes half of the time
    try:
        status = entry.stat()
        if entry.is_dir():
            if entry.is_symlink():
                links.append(path)  # after all folders that are no links: these are found under their own names
            elif (identity := _identity(status)) not in seen:
                seen.add(identity)
                folders.append(path)
        elif suffix in SUFFIXES and entry.is_file():
            found.files.append((path, status.st_size, status.st_mtime_ns))
        else:
            found.ignored[suffix] += 1
    except OSError as problem:
        found.unreadable[path] = problem.strerror or str(problem)  # perhaps a link to a drive that is off


def _is_left_out(name: str, path: str, exclude: Sequence[str]) -> bool:
    if name.startswith(".") or name in LEFT_OUT:
        return True
    return any(fnmatchcase(name, pattern) or fnmatchcase(path, pattern.rstrip("/")) for pattern in exclude)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
