"""Fetching data sets: resumed where a connection was cut, and verified before anything is unpacked.

Archives whose authors publish no checksum are not fetched: there is nothing to verify them by.
"""

import errno
import http.client
import os
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import IO

from rrzoo import errors, files
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.datasets.dataset import Archive, Record, md5
from rrzoo.progress import OnProgress

BLOCK = 1 << 18  # bytes read at a time
TIMEOUT = 30.0  # seconds without a byte after which a connection is given up
TRIES = 6  # connections in a row that bring nothing
WAIT = 1.0  # seconds before the second try; doubled each time
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # no fault of the archive
# what damaged archives raise, in names, lengths, methods and links; NotImplementedError is a RuntimeError
UNPACKING = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, LookupError, RuntimeError, ValueError)
USER_AGENT = "rrzoo (data set download)"


def fetch(name: str, root: Path, mirror: str | None = None, progress: OnProgress | None = None) -> Path:
    """Download and unpack a data set, unless it is there.

    What arrives is kept in `root`/.downloads until it is whole, so a download that stops, for whatever reason, goes on
    where it was. It is unpacked beside its place and renamed.

    Args:
        name: of the data set.
        root: folder for data sets.
        mirror: another address of the same archive; it is verified by the same checksum.
        progress: called with the bytes that are there and the size.

    Returns:
        the folder with the data set's files.

    Raises:
        errors.DownloadError: there is no way to verify it, the server does not have it, what it sends is something
            else, or there is no room on the disk.
    """
    if name not in CATALOGUE:
        raise errors.DownloadError(f"no data set is called {name!r}: {errors.choices(name, CATALOGUE)}")
    record = CATALOGUE[name]
    archive = record.archive
    if archive is None:
        raise errors.DownloadError(f"{name} can't be downloaded: {record.by_hand}")
    folder = root / archive.holds
    if folder.is_dir():
        _check_whole(folder, record)
        return folder
    url = mirror or archive.url
    if not url.startswith(("http://", "https://")):
        raise errors.DownloadError(f"{url!r} is no address: it starts with http:// or https://")
    part = root / ".downloads" / Path(archive.url).name
    try:
        with files.lock(part):
            if not folder.is_dir():  # else another process has just brought it
                with part.open("ab") as file:
                    _room(part, archive)
                    _receive(url, archive, file, progress)
                _verify(part, url, archive)
                _unpack(part, archive, folder)
            part.unlink()
    except BlockingIOError:
        raise errors.DownloadError(f"another process is downloading {part}: wait for it") from None
    except OSError as problem:
        raise errors.DownloadError(
            f"{name} can't be written to {root} ({problem.strerror or problem}): name another folder with --data"
        ) from None
    return folder


def _check_whole(folder: Path, record: Record) -> None:
    """Refuse a folder that lacks files which the record lists: some copies hold a part of a data set."""
    if missing := [name for name in record.md5 if not (folder / name).exists()]:
        raise errors.DownloadError(
            f"{folder} is there without {missing[0]}: rename or remove it, then fetch {record.name} again"
        )


def _room(part: Path, archive: Archive) -> None:
    needed = archive.size - part.stat().st_size + archive.unpacked
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise errors.DownloadError(
            f"{part.parent} has {free / 1e9:.1f} GB left, and {needed / 1e9:.1f} GB are needed: make room, or name a "
            "folder on another disk with --data"
        )


def _receive(url: str, archive: Archive, file: IO[bytes], progress: OnProgress | None) -> None:
    """Append to `file` until it is whole, over as many connections as it takes."""
    fruitless = 0
    while (there := file.tell()) < archive.size:
        problem = _connection(url, archive, file, progress)
        file.flush()
        fruitless = 0 if file.tell() > there else fruitless + 1
        if fruitless == TRIES:
            raise errors.DownloadError(
                f"{url} sent nothing in {TRIES} tries ({problem}): try again later, it goes on from "
                f"{file.tell():,} bytes; or name another address of the same file with --mirror"
            )
        if file.tell() < archive.size:
            time.sleep(WAIT * 2**fruitless)
    if file.tell() > archive.size:  # left by something else
        file.truncate(0)
        raise errors.DownloadError(f"{file.name} was larger than the archive, and is removed: start again")


def _connection(url: str, archive: Archive, file: IO[bytes], progress: OnProgress | None) -> str:
    """Append what one connection brings; return why it ended."""
    start = file.tell()
    headers = {"User-Agent": USER_AGENT, "Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                return f"it answered with another part: {response.headers.get('Content-Range')}"
            if response.status != 206 and start:  # the server can't resume
                file.truncate(0)
                start = 0
            while block := response.read1(BLOCK):
                if file.tell() == 0:
                    _check_beginning(block, response.headers.get_content_type(), url)
                file.write(block)
                if file.tell() > archive.size:
                    file.truncate(0)
                    raise errors.DownloadError(
                        f"{url} sends more than the archive's {archive.size:,} bytes: it is another file. "
                        "Name an address of the right one with --mirror"
                    )
                if progress:
                    progress(file.tell(), archive.size)
            return "it closed the connection"
    except urllib.error.HTTPError as answer:
        if answer.code < 500 and answer.code not in (408, 416, 429):
            raise errors.DownloadError(
                f"{url} answers {answer.code} {answer.reason}: name another address of the same file with --mirror"
            ) from None
        return f"{answer.code} {answer.reason}"
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as problem:
        return str(getattr(problem, "reason", problem)) or type(problem).__name__


def _check_beginning(block: bytes, kind: str, url: str) -> None:
    if not any(magic.startswith(block[:2]) for magic in (b"\x1f\x8b", b"PK")):  # gzip, zip
        raise errors.DownloadError(
            f"{url} answers with {kind}, not with an archive: open it in a browser to see what it says, or name "
            "another address of the same file with --mirror"
        )


def _verify(part: Path, url: str, archive: Archive) -> None:
    found = md5(part)
    if found != archive.md5:
        part.unlink()
        raise errors.DownloadError(
            f"what {url} sent has the MD5 sum {found}, not {archive.md5}, and is removed: fetch it again, or name "
            "another address of the same file with --mirror"
        )


def _unpack(part: Path, archive: Archive, folder: Path) -> None:
    files.remove_abandoned(part.parent)
    with files.scratch_folder(part) as unfinished:
        try:
            if zipfile.is_zipfile(part):
                with zipfile.ZipFile(part) as packed:
                    packed.extractall(unfinished)  # names that lead outside are made to stay inside
            else:
                with tarfile.open(part) as packed:
                    packed.extractall(unfinished, filter="data")  # refuses names that lead outside, links, devices
            os.sync()  # once, as 120,000 files brought to the disk one by one would take minutes
            (unfinished / archive.holds).rename(folder)
        except UNPACKING as problem:
            if isinstance(problem, OSError) and problem.errno in NO_ROOM:
                raise
            raise errors.DownloadError(
                f"{part} can't be unpacked ({errors.first_line(problem)}): delete it and fetch it again"
            ) from None
