"""Numba kernels for the CPU: optional, imported where they are used, each equal to plain torch elsewhere.

numba refuses to load functions that it is to cache where it finds no folder to write to: a read-only installation and
home. A temporary folder then takes their place, and every process compiles anew.
"""

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):  # the latter: no home
        return False


def _provide_cache() -> None:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    shared = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111  # never raises
    folders = [*([Path(chosen)] if chosen else []), Path(__file__).parent / "__pycache__", shared / "numba"]
    if any(map(_writable, folders)):
        return
    folder = tempfile.mkdtemp(prefix="rrzoo-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    warnings.warn(
        "compiled kernels can't be kept, so every start compiles them for about a minute: "
        "set NUMBA_CACHE_DIR to a folder that can be written to",
        stacklevel=2,
    )


_provide_cache()
