"""What visitors and programs send, before anything reads it: limited in size, read only from uploads, soon removed."""

import atexit
import contextlib
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from rrzoo import errors, images

MAX_PIXELS = (
    16_000_000  # of a picture as it is decoded: less than a second, less than 200 MB; JPEGs are decoded smaller
)
AT_ONCE = 2  # pictures that are decoded at the same time
MAX_AGE = 3600.0  # seconds that an upload which nothing removes, such as a picture on the page, stays on disk
UPLOADS = "uploads"  # the folder, below that of all files, that holds what visitors send
SERVED = "/gradio_api/file="  # what the address of a file of this server has before its path

_decoding = threading.BoundedSemaphore(AT_ONCE)


def private_folder(parent: str | None) -> Path:
    """Return a new folder for the uploads of this process alone, removed when it ends; `parent` is made if need be."""
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rrzoo-", dir=parent or None)).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def read(path: str | Path) -> np.ndarray:
    """Return an uploaded picture as uint8 RGB (H, W, 3), and remove the file if it is refused.

    Raises:
        errors.ImageError: it can't be read, or has more than 16 million pixels as it is decoded.
    """
    try:
        with _decoding:
            return images.read(path, MAX_PIXELS)
    except errors.ImageError:
        remove(path)
        raise


def is_upload(path: str | Path) -> bool:
    """Say whether a file is one that a visitor sent, and not the page's own."""
    request = Path(path).parent.parent  # the door makes UPLOADS/REQUEST/NUMBER/NAME
    return request.parent.name == UPLOADS and re.fullmatch("[0-9a-f]{64}", request.name) is not None


def remove(path: str | Path) -> None:
    """Remove an upload, and the folders that were made for it; nothing happens to any other file."""
    file = Path(path)
    if not is_upload(file):
        return
    with contextlib.suppress(OSError):  # others remove files, too; and a folder may hold more
        file.unlink(missing_ok=True)
        file.parent.rmdir()
        file.parent.parent.rmdir()


def resolve(value: Any, folder: Path) -> Any:
    """Return the input of an event with all its files as paths in the folder of uploads; open nothing.

    Raises:
        errors.ArgumentError: a file is given by an address or as data, or was not uploaded.
    """
    if isinstance(value, list):
        return [resolve(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("url"), str) and "path" not in value:
        raise errors.ArgumentError("a picture arrived as an address, and none is opened here: send an uploaded file")
    if not isinstance(value.get("path"), str):
        return {name: resolve(item, folder) for name, item in value.items()}
    path = value["path"]
    if path.startswith("data:"):
        raise errors.ArgumentError("a picture arrived as a data: URL: upload it as a file")
    if "://" in path:
        _, own, path = path.partition(SERVED)
        if not own:
            raise errors.ArgumentError("a picture arrived as an address, and none is opened here: upload it as a file")
        path = unquote(path)
    file = Path(path).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise errors.ArgumentError(f"{file.name} was not uploaded here: upload the picture first")
    if not file.is_file():
        raise errors.ArgumentError(f"{file.name} is not here any more: upload it again")
    return value | {"path": str(file), "url": None, "is_stream": False}


def sweep(folder: Path, exceptions: set[Path], max_age: float = MAX_AGE) -> None:
    """Remove files below a folder that were written more than `max_age` seconds ago, but none of `exceptions`."""
    oldest = time.time() - max_age
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # others remove files, too
            if path in exceptions or path.stat().st_mtime >= oldest:
                continue
            if path.is_dir():
                path.rmdir()  # fails, as it should, where something is in it
            else:
                path.unlink()


def keep_sweeping(folder: Path, every: float = 60.0) -> None:
    """Call `sweep` for as long as the process runs; what is there now stays: the page's own files."""
    own_files = set(folder.rglob("*"))

    def run() -> None:
        while True:
            time.sleep(every)
            sweep(folder, own_files)

    threading.Thread(target=run, daemon=True).start()
