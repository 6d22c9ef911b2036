"""Fetching data sets: resumed where a connection was cut, and verified before anything is unpacked.

Archives whose authors publish no checksum are not fetched: there is nothing to verify them by.
"""

import fcntl
import hashlib
import http.client
import shutil
import ssl
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rrzoo import errors
from rrzoo.datasets.imagenet import SLIM_SOURCE

BLOCK = 1 << 18  # bytes read at a time
TIMEOUT = 30.0  # seconds without a byte after which a connection is given up
TRIES = 6  # connections in a row that bring nothing
WAIT = 1.0  # seconds before the second try; doubled each time
USER_AGENT = "rrzoo (data set download)"

Progress = Callable[[int, int], None]  # bytes there, bytes in all


@dataclass(frozen=True)
class Archive:
    """One file that holds a data set."""

    url: str
    size: int  # bytes
    md5: str
    holds: str  # the folder in it
    unpacked: int  # bytes, about


_CIFAR10 = Archive(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "c32a1d4ab5d03f1284b67883e8d87530",  # published beside it
    "cifar-10-batches-bin",
    190_000_000,
)
_CIFAR100 = Archive(
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    168_513_733,
    "03b5dce01913d631647c71ecec9e9cb8",  # published beside it
    "cifar-100-binary",
    190_000_000,
)
ARCHIVES = {
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
    "cifar100-20": _CIFAR100,
    "stl10": Archive(
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        2_640_397_119,
        "91f7769df0f17e558f3565bffb0c7dfb",  # torchvision's
        "stl10_binary",
        3_130_000_000,
    ),
    "tinyimagenet": Archive(
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        248_100_043,
        "90528d7ca1a48142e341f4ef8d21d0de",  # Avalanche's; the authors publish none
        "tiny-imagenet-200",
        600_000_000,
    ),
}
BY_HAND = {
    "clay10": "it ships with rrzoo",
    "slimagenet64": f"no checksum of it is published: get it by hand from {SLIM_SOURCE}, unpack it to SlimageNet64/",
    "stl10-standin": "its generator writes it",
}


def fetch(name: str, root: Path, mirror: str | None = None, progress: Progress | None = None) -> Path:
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
    if name not in ARCHIVES:
        raise errors.DownloadError(f"{name} can't be downloaded: {BY_HAND.get(name, errors.choices(name, ARCHIVES))}")
    archive = ARCHIVES[name]
    folder = root / archive.holds
    if folder.is_dir():
        return folder
    url = mirror or archive.url
    if not url.startswith(("http://", "https://")):
        raise errors.DownloadError(f"{url!r} is no address: it starts with http:// or https://")
    downloads = root / ".downloads"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        part = downloads / Path(archive.url).name
        with part.open("ab") as file:
            _lock(file, part)
            _room(part, archive)
            _receive(url, archive, file, progress)
        _verify(part, url, archive)
        _unpack(part, archive, folder)
        part.unlink()
    except OSError as problem:
        raise errors.DownloadError(
            f"{name} can't be written to {root} ({problem.strerror or problem}): name another folder with --data"
        ) from None
    return folder


def _lock(file: IO[bytes], part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of by the system, even after a crash
    except BlockingIOError:
        raise errors.DownloadError(f"another process is downloading {part}: wait for it") from None


def _room(part: Path, archive: Archive) -> None:
    needed = archive.size - part.stat().st_size + archive.unpacked
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise errors.DownloadError(
            f"{part.parent} has {free / 1e9:.1f} GB left, and {needed / 1e9:.1f} GB are needed: make room, or name a "
            "folder on another disk with --data"
        )


def _receive(url: str, archive: Archive, file: IO[bytes], progress: Progress | None) -> None:
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


def _connection(url: str, archive: Archive, file: IO[bytes], progress: Progress | None) -> str:
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
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        part.unlink()
        raise errors.DownloadError(
            f"what {url} sent has the MD5 sum {found}, not {archive.md5}, and is removed: fetch it again, or name "
            "another address of the same file with --mirror"
        )


def _unpack(part: Path, archive: Archive, folder: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=part.parent))
    try:
        if zipfile.is_zipfile(part):
            with zipfile.ZipFile(part) as packed:
                packed.extractall(unfinished)  # names that lead outside are made to stay inside
        else:
            with tarfile.open(part) as packed:
                packed.extractall(unfinished, filter="data")  # refuses names that lead outside, links, devices
        (unfinished / archive.holds).rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, FileNotFoundError) as problem:
        raise errors.DownloadError(f"{part} can't be unpacked ({problem}): delete it and fetch it again") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
