"""What computes: this machine, the versions of libraries, and the memory that long work keeps between its steps.

PyTorch frees a step's activations one by one. glibc hands blocks as large as these back to the system at once, which
clears them, page by page, when the next step asks again: a quarter of the processor time of a ResNet-8 in training, and
nearly half of the time in which an EfficientNet embeds.
"""

import ctypes
import functools
import math
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8  # parameters of mallopt(3)
KEEP = {
    TRIM_THRESHOLD: 2**31 - 1,  # bytes free above which memory goes back
    MMAP_MAX: 0,  # blocks that may be the system's own
}
# Once any of these was set, glibc no longer raises its thresholds with the sizes that a process uses, and there is no
# way back. So they end where it would have raised them at most (mallopt(3), M_MMAP_THRESHOLD): left at 128 KB, they
# would have every later block above that cleared by the system.
PUT_BACK = {TRIM_THRESHOLD: 64 * 2**20, MMAP_THRESHOLD: 32 * 2**20, MMAP_MAX: 65_536}
_keeping = 0  # how many keep memory at once: one within another, or in several threads
_counting = threading.Lock()


@contextmanager
def keep_memory() -> Iterator[None]:
    """Keep freed memory until the end, then give it back. Also a decorator. Does nothing where glibc is not used.

    Meanwhile the process stays as large as it ever was. Afterwards it keeps up to 64 MB of what it frees. Of several at
    once, the last one gives it back.
    """
    global _keeping
    libc = _glibc()
    if libc is None:
        yield
        return
    with _counting:
        _keeping += 1
        _set(libc, KEEP)
    try:
        yield
    finally:
        with _counting:
            _keeping -= 1
            if not _keeping:
                _set(libc, PUT_BACK)
                libc.malloc_trim(0)


def share_memory(every: float = 20.0) -> None:
    """Let all threads share two pools of memory, and give back what is free: for servers that answer in many threads.

    Else each thread keeps its own, up to eight a core; and what lies free between blocks in use, a picture's pixels
    say, stays. Does nothing where glibc is not used.

    Args:
        every: s, after which it is given back again, for as long as the process runs.
    """
    libc = _glibc()
    if libc is None:
        return
    _set(libc, {ARENA_MAX: 2})

    def give_back() -> None:
        while True:
            libc.malloc_trim(0)  # a few milliseconds
            time.sleep(every)

    threading.Thread(target=give_back, daemon=True).start()


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _set(libc: ctypes.CDLL, parameters: dict[int, int]) -> None:
    for parameter, value in parameters.items():
        libc.mallopt(parameter, value)


def memory() -> float:
    """Return how many bytes of memory this machine has; infinity where that can't be told, as on Windows."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine(gpu: str = "") -> str:
    """Say what this machine is, for logs and cards, and the GPU that was used, if any was."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, {gpu or 'no GPU used'}"


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
