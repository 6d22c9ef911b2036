"""Something happens at one file operation after another: the process is killed, or the disk refuses.

Operations are what Python's audit hooks tell of, and those that they don't: bringing a file to the disk, and the
writing of safetensors, with half of the file there and after it.
"""

import errno
import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from rrzoo import errors

EVENTS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink"}
EVENTS |= {"os.truncate", "os.utime"}
WRITERS = {  # module -> the function that writes tensors there, and which of its arguments is the path
    "rrzoo.gallery.tensors": ("write", 0),
    "rrzoo.training.checkpoint": ("save_file", 1),
}

Operation = tuple[Callable[[], object], Callable[[], object]]  # what is stopped, and what must be true afterwards


class Fault:
    """Counts file operations below a folder, and does something at one of them; the hook itself can't be taken back."""

    def __init__(self) -> None:
        self.folder, self.left, self.act = "", 0, lambda: None
        self.reads = True  # whether to open a file for reading counts
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.folder or event not in EVENTS or self.folder not in str(arguments[:2]):
            return
        if event == "open" and not self.reads and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        self.meet()

    def meet(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()


FAULT = Fault()


def _fsync(sync: Callable[[int], None]) -> Callable[[int], None]:
    def noted(descriptor: int) -> None:
        if FAULT.folder and FAULT.folder in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            FAULT.meet()
        sync(descriptor)

    return noted


def _save_file(save: Callable[..., None], place: int) -> Callable[..., None]:
    def noted(*arguments: Any) -> None:
        save(*arguments)
        path = Path(arguments[place])
        content = path.read_bytes()
        os.truncate(path, len(content) // 2)
        FAULT.meet()
        path.write_bytes(content)
        FAULT.meet()

    return noted


@contextmanager
def watched() -> Iterator[None]:
    """Let the operations that no audit hook tells of be operations, too."""
    with mock.patch("os.fsync", _fsync(os.fsync)):
        patches = [
            mock.patch(f"{name}.{function}", _save_file(getattr(importlib.import_module(name), function), place))
            for name, (function, place) in WRITERS.items()
        ]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()


def stopped_at(
    number: int, folder: Path, act: Callable[[], None], operation: Callable[[], object], reads: bool = True
) -> bool:
    """Run an operation whose file operation `number` is the one where something happens; return whether it did."""
    FAULT.folder, FAULT.left, FAULT.act, FAULT.reads = str(folder), number, act, reads
    try:
        with watched():
            operation()
    finally:
        FAULT.folder = ""
    return FAULT.left <= 0


def refusing(number: int) -> Callable[[], None]:
    """Return what fails as the system does with this errno."""

    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def kept_as_it_was(place: Path) -> Iterator[Callable[[], None]]:
    """Give what puts a folder back as it is now."""
    kept = place.with_name("kept")
    if place.exists():
        shutil.copytree(place, kept, symlinks=True)

    def put_back() -> None:
        shutil.rmtree(place, ignore_errors=True)
        if kept.exists():
            shutil.copytree(kept, place, symlinks=True)

    yield put_back
    shutil.rmtree(kept, ignore_errors=True)


def killed_everywhere(place: Path, operation: Operation, put_back: Callable[[], None] = lambda: None) -> int:
    """Kill a process at each file operation below `place` in turn; `place` is as it was before each.

    Returns:
        how many operations there were.
    """
    run, whole = operation
    with kept_as_it_was(place) as as_it_was:
        for number in range(1, 1000):
            child = os.fork()
            if not child:
                try:
                    stopped_at(number, place, kill, run, reads=False)
                    os._exit(0)
                except BaseException as problem:
                    print(problem, file=sys.stderr, flush=True)
                    os._exit(1)
            status = os.waitpid(child, 0)[1]
            whole()
            if status == 0:
                return number - 1
            assert status == signal.SIGKILL
            as_it_was()
            put_back()
    raise AssertionError("it does not end")


def refused_everywhere(place: Path, operation: Operation, number_of_error: int) -> int:
    """Let the system refuse each file operation below `place` in turn; each time there is one line, or it works.

    Returns:
        how many operations there were.
    """
    run, whole = operation
    with kept_as_it_was(place) as as_it_was:
        for number in range(1, 1000):
            line = ""
            try:
                happened = stopped_at(number, place, refusing(number_of_error), run)
            except errors.RRZooError as problem:
                happened, line = True, str(problem)
            assert "\n" not in line
            whole()
            if not happened:
                return number - 1
            as_it_was()
    raise AssertionError("it does not end")


DISK = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO)
