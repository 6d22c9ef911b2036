"""What is computed once, however many visitors ask for it at the same time."""

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
KEPT = 8  # results of a function; the oldest gives way


def once(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function compute each result once: who asks meanwhile waits. An error is raised, and not kept."""
    lock, cached = threading.Lock(), functools.lru_cache(maxsize=KEPT)(function)

    @functools.wraps(function)
    def result(*arguments: P.args, **named: P.kwargs) -> T:
        with lock:
            return cached(*arguments, **named)  # type: ignore[arg-type]  # its stub knows hashable ones alone

    return result
