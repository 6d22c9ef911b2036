"""Uploads: the parts of a multipart body become files, each request's in a folder with a name that can't be guessed."""

import asyncio
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from rrzoo.demo.door.bodies import Message, Receive, Refusal, header, length, pieces
from rrzoo.demo.door.quota import Quota
from rrzoo.demo.door.routes import MB

MOST_FILES = 500
MOST_BYTES = 20 * MB  # of one file
NAME_BYTES = 200
CALLBACKS = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "part_end")
NOT_MULTIPART = "The upload is not multipart/form-data with a boundary."

logging.getLogger(MultipartParser.__module__).setLevel(logging.ERROR)  # what a caller damages is told to the caller

Progress = Callable[[str, int], None]  # name of a file, bytes of it that have just arrived


class Parts:
    """Writes the files of a multipart body into a folder; what they are called there follows from what they said."""

    def __init__(self, boundary: bytes, folder: Path, progress: Progress) -> None:
        """Start with nothing written."""
        self.paths: list[Path] = []
        self._folder, self._progress = folder, progress
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._file: BinaryIO | None = None
        self._size, self._told, self._whole = 0, "", False
        callbacks: Any = {f"on_{name}": getattr(self, f"_{name}") for name in (*CALLBACKS, "end")}
        self._parser = MultipartParser(boundary, callbacks)

    def write(self, piece: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            Refusal: they are no multipart, or hold too many or too large files.
        """
        try:
            self._parser.write(piece)
        except FormParserError:
            raise Refusal(400, "The upload is damaged: send it again.") from None

    def finish(self) -> list[str]:
        """Return the paths of all files.

        Raises:
            Refusal: the body has not ended as it should, or held no file.
        """
        if not self._whole:
            raise Refusal(400, "The upload is cut off: send it again.")
        if not self.paths:
            raise Refusal(400, "The upload holds no file: send pictures as parts called files, with file names.")
        return [str(path) for path in self.paths]

    def close(self) -> None:
        """Close what is open."""
        if self._file:
            self._file.close()

    def _part_begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") != b"files" or b"filename" not in options:
            raise Refusal(400, "The upload has a part that is no file: send pictures as parts called files.")
        if len(self.paths) == MOST_FILES:
            raise Refusal(413, f"The upload holds more than {MOST_FILES} files: send fewer at once.")
        self._told = options[b"filename"].decode(errors="replace")
        place = self._folder / str(len(self.paths))  # two may have one name
        place.mkdir()
        self.paths.append(place / safe_name(self._told))
        self._file, self._size = self.paths[-1].open("xb"), 0

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        assert self._file is not None
        self._size += end - start
        if self._size > MOST_BYTES:
            raise Refusal(413, f"A file is larger than {MOST_BYTES // MB} MB: send a smaller one.")
        self._file.write(data[start:end])
        self._progress(self._told, end - start)

    def _part_end(self) -> None:
        self.close()

    def _end(self) -> None:
        self._whole = True


def safe_name(name: str) -> str:
    """Return the name of a file without what could lead elsewhere, or mean something to a shell or a page."""
    kept = re.sub(r"[^\w ,.-]", "", re.split(r"[/\\]", name)[-1]).lstrip(".").encode()
    return kept[-NAME_BYTES:].decode(errors="ignore").lstrip(".") or "picture"


class Tracker:
    """How far uploads are, for the page that sends them: by an identifier that the page draws."""

    def __init__(self) -> None:
        """Follow nothing yet."""
        self._news: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def start(self, upload: str) -> Progress:
        """Return what to call with each piece of a file."""
        news = self._news.setdefault(upload, [])
        while len(self._news) > 200:
            self._news.popitem(last=False)

        def arrived(name: str, size: int) -> None:
            if news and news[-1].get("orig_name") == name:
                news[-1]["chunk_size"] += size
            else:
                news.append({"msg": "update", "orig_name": name, "chunk_size": size})

        return arrived

    def done(self, upload: str) -> None:
        """Say that an upload has ended, in whatever way."""
        if upload in self._news:
            self._news[upload].append({"msg": "done"})

    def take(self, upload: str) -> list[dict[str, Any]] | None:
        """Return what is new of an upload, None if it is not known."""
        if upload not in self._news:
            return None
        news = self._news[upload][:]
        del self._news[upload][: len(news)]
        if news and news[-1]["msg"] == "done":
            del self._news[upload]
        return news


async def receive_upload(scope: Message, receive: Receive, most: int, quota: Quota, progress: Progress) -> list[str]:
    """Write what a request brings to the disk, and return the paths of its files.

    Raises:
        Refusal: it is no upload, too large, too slow, or there is no room. Nothing of it is left then.
        CallerLeftError: it ended early. Nothing of it is left then.
    """
    kind, options = parse_options_header(header(scope, b"content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 100:
        raise Refusal(400, NOT_MULTIPART)
    length(scope, most)
    visitor = str((scope.get("client") or ["?"])[0])
    with quota.arriving(secrets.token_hex(32), visitor) as (folder, make_room):
        parts = Parts(boundary, folder, progress)
        try:
            async for piece in pieces(receive, most):
                make_room(len(piece))
                await asyncio.to_thread(parts.write, piece)
            return parts.finish()
        finally:
            parts.close()
