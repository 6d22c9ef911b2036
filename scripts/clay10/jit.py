"""The one door to numba, which only rendering needs."""

from contextlib import suppress
from pathlib import Path

try:
    from numba import njit
except ImportError as error:
    raise ImportError('Rendering clay10 pictures needs numba: pip install "rrzoo[train]"') from error


def _forget_stale_code() -> None:
    """Delete compiled code older than any source here.

    numba keeps it for each function until that function's own file changes, and so would go on using old code
    of the functions which it calls in other files.
    """
    folder = Path(__file__).parent
    changed = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for kept in folder.glob("__pycache__/*.nb[ci]"):
        with suppress(OSError):  # a folder that must not be written, or another process was faster
            if kept.stat().st_mtime < changed:
                kept.unlink()


_forget_stale_code()
# fastmath lets the last bits differ between processors: compare pictures with a tolerance, not by hash.
compiled = njit(fastmath=True, cache=True, error_model="numpy")
