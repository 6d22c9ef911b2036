"""Memory that training gives back and takes again in every step, kept by the process in between.

PyTorch frees a step's activations one by one. glibc hands blocks as large as these back to the system at once, which
clears them, page by page, when the next step asks again: a quarter of the processor time of a ResNet-8.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt(3)
KEPT = 2**31 - 1, 0  # bytes free above which memory goes back; blocks that may be the system's own
USUAL = 128 * 1024, 65_536  # the same by default


@contextmanager
def kept() -> Iterator[None]:
    """Keep freed memory until the end, then give it back. Also a decorator. Does nothing where glibc is not used.

    Meanwhile the process stays as large as it ever was.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    _set(libc, *KEPT)
    try:
        yield
    finally:
        _set(libc, *USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, threshold: int, blocks: int) -> None:
    libc.mallopt(TRIM_THRESHOLD, threshold)
    libc.mallopt(MMAP_MAX, blocks)
