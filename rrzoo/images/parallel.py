"""Work on many pictures with all cores, in order, a few ahead of what is asked for."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

MOST_WORKERS = 16  # threads; each may hold a picture of 50 million pixels


def workers() -> int:
    """Return how many threads decode: one a core that this process may use. Pillow decodes without Python's lock."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST_WORKERS)


def in_order(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """Yield what `function` makes of each item, in their order; at most twice as many as there are workers wait."""
    count = workers()
    pool = ThreadPoolExecutor(count)
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
