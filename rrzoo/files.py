"""Files that are there whole or not at all: the one way in which rrzoo writes, hashes and locks them.

A file or folder is written beside its place, brought to the disk, and then renamed; the folder that holds it is brought
to the disk, too. Whatever ends the process or the machine, no name ever stands for half of something.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished-"  # how the names of what is being written begin


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of a new file to write to; it replaces what is at `path` when the block ends without an error.

    Raises:
        OSError: the folder can't be written, or there is no room. What was at `path` is still there then.
    """
    _make(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f"{UNFINISHED}{path.name}-", dir=path.parent)
    os.close(descriptor)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.chmod(0o666 & ~_umask())  # mkstemp makes it private
        _sync(unfinished)
        unfinished.replace(path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write(path: Path, content: bytes | str) -> None:
    """Write a file, in place of one that may be there. See `new_file`."""
    with new_file(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a new, empty folder to fill; it is at `path` when the block ends without an error.

    Raises:
        OSError: something is at `path` already, the place can't be written, or there is no room.
    """
    _make(path.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{path.name}-", dir=path.parent))
    try:
        yield unfinished
        for inside in (*unfinished.rglob("*"), unfinished):
            _sync(inside)
        unfinished.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        unfinished.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def content(path: Path, most: int | None = None) -> bytes:
    """Return what a file holds, if it is regular and no larger than `most` bytes, or half of the memory here.

    Raises:
        OSError: it is something else, such as a device that never ends, or too large, or can't be read.
    """
    check_regular(path, most)  # before opening: to open a pipe waits for its other end
    return path.read_bytes()


def check_regular(path: Path, most: int | None = None) -> None:
    """Refuse what `content` refuses, and read nothing of it. Raises what `content` does."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is no regular file")
    limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if most is None else most
    if status.st_size > limit:
        raise OSError(f"{path.name} has {status.st_size:,} bytes: at most {limit:,} are read")


def sha256(content: bytes | Path) -> str:
    """Return the SHA-256 of bytes or of a file, in hexadecimal digits.

    Raises:
        OSError: the file can't be read.
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of this machine respect; the system lets go of it even after a crash.

    Args:
        path: of the lock's own file, which is made and stays.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file can't be made.
    """
    import fcntl  # not on Windows

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _make(folder: Path) -> None:
    """Make a folder and those above it that are not there, and bring their names to the disk."""
    if folder.is_file():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
