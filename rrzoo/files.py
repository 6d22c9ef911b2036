"""Files that are there whole or not at all: the one way in which rrzoo writes, hashes and locks them.

A file or folder is written beside its place, brought to the disk, and then renamed; the folder that holds it is brought
to the disk, too. Whatever ends the process or the machine, no name ever stands for half of something. While it is
written it is locked, so that what a killed process has left can be told from what a living one writes.
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
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # of some network drives


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of a new file to write to; it replaces what is at `path` when the block ends without an error.

    Raises:
        OSError: the folder can't be written, or there is no room. What was at `path` is still there then.
    """
    with scratch_folder(path) as folder:
        unfinished = folder / path.name
        unfinished.touch()
        yield unfinished
        unfinished.chmod(0o666 & ~_umask())
        _sync(unfinished)
        unfinished.replace(path)
        _sync(path.parent)


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
    with scratch_folder(path) as unfinished:
        yield unfinished
        for inside in (*unfinished.rglob("*"), unfinished):
            _sync(inside)
        unfinished.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        unfinished.rename(path)
        _sync(path.parent)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Give a new, empty folder beside `path`, which is removed when the block ends if it is still there.

    Raises:
        OSError: the place can't be written.
    """
    _make(path.parent)
    with contextlib.ExitStack() as stack:
        unfinished = _held(path, stack)
        stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
        yield unfinished


def remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed have left unfinished in a folder; what others are writing stays."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if path.is_dir() and not path.is_symlink():
                _lock(path, stack, wait=False)
                shutil.rmtree(path, ignore_errors=True)


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


def _held(path: Path, stack: contextlib.ExitStack) -> Path:
    """Make a folder beside `path`, locked until `stack` is left: a file itself may be replaced by whoever writes it."""
    while True:
        unfinished = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{path.name}-", dir=path.parent))
        try:
            _lock(unfinished, stack, wait=True)
            return unfinished
        except FileNotFoundError:  # taken for abandoned before it was locked
            continue
        except OSError as problem:
            if problem.errno in NO_LOCKS:  # then nothing is ever taken for abandoned, either
                return unfinished
            raise


def _lock(path: Path, stack: contextlib.ExitStack, wait: bool) -> None:
    """Lock a folder until `stack` is left.

    Raises:
        BlockingIOError: another process holds it, and `wait` is not set.
        FileNotFoundError: it is not there any more.
        OSError: it can't be opened, or there are no locks here.
    """
    import fcntl  # not on Windows

    descriptor = os.open(path, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    if not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


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
