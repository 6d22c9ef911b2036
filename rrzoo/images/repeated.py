"""What a small file can repeat so often that decoding takes minutes: it is counted before anything is decoded."""

import re
from pathlib import Path
from typing import IO

from rrzoo import errors

MOST_SCANS = 100  # of a JPEG: each goes over the whole picture. Encoders write some ten
MOST_BLOCKS = 5_000  # of 255 bytes at most, before a GIF's first picture: Pillow copies all comments for each one
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # of a JPEG, but for those within a scan
ALONE = frozenset(b"\x01\xd8")  # markers that no length follows
SCAN, END = 0xDA, 0xD9


def check_scans(file: IO[bytes], path: Path) -> None:
    """Refuse a JPEG with too many scans; the file stays where it is.

    Raises:
        errors.ImageError: it is so.
    """
    here = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(here)
    place = scans = 0
    while found := MARKER.search(content, place):
        kind, place = found[1][0], found.end()
        if kind == END:
            return
        if kind not in ALONE:
            place += int.from_bytes(content[place : place + 2], "big")
        scans += kind == SCAN
        if scans > MOST_SCANS:
            raise errors.ImageError(f"{path.name} is written in more than {MOST_SCANS} scans: save it anew")


def check_blocks(file: IO[bytes], path: Path) -> None:
    """Refuse a GIF with too much before its first picture; the file stays where it is.

    Raises:
        errors.ImageError: it is so.
    """
    here = file.tell()
    file.seek(10)
    flags = (file.read(1) or b"\0")[0]
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 128 else 0))
    blocks = 0
    while file.read(1) == b"!":
        file.read(1)
        while size := file.read(1).strip(b"\0"):
            file.seek(size[0], 1)
            blocks += 1
            if blocks > MOST_BLOCKS:
                break
        blocks += 1
        if blocks > MOST_BLOCKS:
            raise errors.ImageError(f"{path.name} holds more than {MOST_BLOCKS} blocks of text: save it anew")
    file.seek(here)
