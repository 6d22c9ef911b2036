"""How much visitors may leave on the disk: each alone, and all together. The oldest uploads go first."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rrzoo.demo.door.bodies import Refusal
from rrzoo.demo.door.routes import MB

PER_VISITOR = 1_000 * MB  # bytes of the uploads from one address
IN_ALL = 4_000 * MB
REQUESTS = 2_000  # whose uploads are kept, however small
SPARE = 200 * MB  # of the disk, which uploads leave alone


@dataclass
class Upload:
    """What one request brought, or is bringing."""

    visitor: str
    size: int = 0  # bytes that have arrived
    arriving: bool = True


class Quota:
    """Which uploads lie below a folder, each in a folder of its own, and whose they are."""

    def __init__(self, folder: Path, per_visitor: int = PER_VISITOR, in_all: int = IN_ALL) -> None:
        """Count what lies in `folder`, which is made if need be, in bytes."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._per_visitor, self._in_all = folder, per_visitor, in_all
        self._uploads: dict[str, Upload] = {}  # name of its folder -> upload, oldest first
        self._lock = threading.Lock()

    @contextmanager
    def arriving(self, name: str, visitor: str) -> Iterator[tuple[Path, Callable[[int], None]]]:
        """Give the new folder for an upload, and what to call before writing so many more bytes to it.

        The folder is removed with all in it if the block ends with an error. Only what has arrived counts: who
        announces much and sends little takes nobody's room.

        Raises:
            Refusal: by the call: there is no room, and removing the oldest uploads makes none.
        """
        upload = Upload(visitor)
        place = self._folder / name
        with self._lock:
            for oldest in [name for name, one in self._uploads.items() if not one.arriving][: -REQUESTS or None]:
                self._remove(oldest)
            self._uploads[name] = upload
        try:
            place.mkdir(mode=0o700)
            yield place, lambda count: self._grow(upload, count)
            upload.arriving = False
        except BaseException:
            with self._lock:
                self._remove(name)
            raise

    def _grow(self, upload: Upload, count: int) -> None:
        with self._lock:
            if shutil.disk_usage(self._folder).free < count + SPARE:
                raise Refusal(507, "The server's disk is full: send it again later.")
            self._make_room(count, self._in_all, {**self._uploads})
            of_visitor = {name: one for name, one in self._uploads.items() if one.visitor == upload.visitor}
            self._make_room(count, self._per_visitor, of_visitor)
            upload.size += count

    def _make_room(self, count: int, most: int, uploads: dict[str, Upload]) -> None:
        excess = sum(one.size for one in uploads.values()) + count - most
        if excess <= 0:
            return
        # what was read is gone already, so it takes no room: first to be struck off
        for name, one in sorted(uploads.items(), key=lambda item: self._is_there(item[0])):
            if excess > 0 and not one.arriving:
                self._remove(name)
                excess -= one.size
        if excess > 0:
            raise Refusal(503, "Too much is being uploaded: send it again in a moment, or fewer pictures at once.")

    def _is_there(self, name: str) -> bool:
        return (self._folder / name).is_dir()

    def _remove(self, name: str) -> None:
        self._uploads.pop(name, None)
        shutil.rmtree(self._folder / name, ignore_errors=True)
