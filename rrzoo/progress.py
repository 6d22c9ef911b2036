"""The two ways in which work that takes long says how far it is."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

OnProgress: TypeAlias = Callable[[int, int], None]  # called with what is done, and what there is in all
WrapIterable: TypeAlias = Callable[[Iterable[Any], int], Iterable[Any]]  # wraps a loop's items, given their number
