"""Downloads against a real HTTP server on this machine that does what servers do."""

import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from rrzoo import errors
from rrzoo.datasets import download
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.datasets.dataset import Archive
from rrzoo.datasets.download import fetch


def packed(kind: str, inside: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in inside.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, content in inside.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


NOISE = np.random.default_rng(0).bytes(1_500_000)
INSIDE = {"set/images.bin": NOISE, "set/labels.txt": b"1 2 3"}


class Server:
    """Serves one file in the way that `behave` says; counts requests."""

    def __init__(self) -> None:
        self.content = packed("tar", INSIDE)
        self.behave: Callable[[BaseHTTPRequestHandler, int], None] = self.whole
        self.starts: list[int] = []  # first byte that each request asked for
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                server.starts.append(start)
                server.behave(self, start)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/set.tar.gz"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def head(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()

    def whole(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        self.head(handler, start)
        handler.wfile.write(self.content[start:])

    def cuts(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        self.head(handler, start)
        handler.wfile.write(self.content[start : start + 400_000])
        handler.connection.close()

    def cuts_and_cannot_resume(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(self.content)))
        handler.end_headers()
        handler.wfile.write(self.content if len(self.starts) > 2 else self.content[:400_000])

    def trickles(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        self.head(handler, start)
        handler.wfile.write(self.content[start : start + 1])
        handler.wfile.flush()
        for at in range(start + 1, len(self.content), 200_000):
            time.sleep(0.05)
            handler.wfile.write(self.content[at : at + 200_000])

    def silent_twice(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        if len(self.starts) <= 2:
            time.sleep(30)
        else:
            self.whole(handler, start)

    def always_silent(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        time.sleep(30)

    def page(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        handler.wfile.write(b"<html>This site is being moved</html>" * 100)

    def endless(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(self.content)
        for _ in range(20):
            handler.wfile.write(self.content)

    def another_part(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start + 9}-99/{len(self.content)}")
        handler.end_headers()

    def status(self, code: int) -> Callable[[BaseHTTPRequestHandler, int], None]:
        return lambda handler, start: handler.send_error(code)

    def unavailable_twice(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        if len(self.starts) <= 2:
            handler.send_error(503)
        else:
            self.whole(handler, start)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(download, "WAIT", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    offer(monkeypatch, made)
    yield made
    made.http.shutdown()
    made.http.server_close()


def offer(monkeypatch: pytest.MonkeyPatch, server: Server, **changes: object) -> None:
    """Make the server's file the archive of stl10."""
    facts = {
        "url": server.url,
        "size": len(server.content),
        "md5": hashlib.md5(server.content).hexdigest(),
        "holds": "set",
        "unpacked": 2_000_000,
        **changes,
    }
    record = replace(CATALOGUE["stl10"], archive=Archive(**facts), md5={"labels.txt": "not looked at"})  # type: ignore[arg-type]
    monkeypatch.setitem(CATALOGUE, "stl10", record)


def check(folder: Path) -> None:
    """Check that all is there, and nothing else."""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"images.bin": NOISE, "labels.txt": b"1 2 3"}
    assert [path for path in folder.parent.rglob("*") if path.is_file() and path.parent != folder] == []


def test_a_download(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    check(fetch("stl10", tmp_path, progress=lambda done, total: seen.append((done, total))))
    assert seen[-1] == (len(server.content), len(server.content))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    fetch("stl10", tmp_path)
    assert server.starts == [0]  # what is there is not fetched again


def test_a_folder_that_holds_a_part(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(errors.DownloadError, match=r"set is there without labels\.txt: rename or remove it"):
        fetch("stl10", tmp_path)
    (tmp_path / "set").rmdir()
    check(fetch("stl10", tmp_path))


def test_a_zip(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = packed("zip", INSIDE)
    offer(monkeypatch, server)
    check(fetch("stl10", tmp_path))


def test_cut_connections_are_resumed(server: Server, tmp_path: Path) -> None:
    server.behave = server.cuts
    check(fetch("stl10", tmp_path))
    assert server.starts == [0, 400_000, 800_000, 1_200_000]


def test_a_server_that_cannot_resume(server: Server, tmp_path: Path) -> None:
    server.behave = server.cuts_and_cannot_resume
    check(fetch("stl10", tmp_path))
    assert server.starts == [0, 400_000, 400_000]


def test_slow_and_silent_servers(server: Server, tmp_path: Path) -> None:
    for number, behave in enumerate((server.trickles, server.silent_twice, server.unavailable_twice)):
        server.starts, server.behave = [], behave
        started = time.monotonic()
        check(fetch("stl10", tmp_path / str(number)))
        assert time.monotonic() - started < 20  # seconds: nobody waited for the silent one
        assert len(server.starts) == (1 if number == 0 else 3)


def test_a_stopped_download_goes_on(server: Server, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("stl10", tmp_path, progress=stop)
    (part,) = (tmp_path / ".downloads").iterdir()
    assert 500_000 < part.stat().st_size < len(server.content)
    check(fetch("stl10", tmp_path))
    assert server.starts[1] > 500_000


def test_a_mirror(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, server, url="http://127.0.0.1:9/gone/set.tar.gz")
    check(fetch("stl10", tmp_path, mirror=server.url))
    with pytest.raises(errors.DownloadError, match="starts with http"):
        fetch("stl10", tmp_path / "other", mirror="file:///etc/passwd")


REFUSED = {
    "always_silent": "sent nothing in 6 tries .*timed out.*try again later, it goes on from 0 bytes",
    "another_part": "answered with another part",
    "page": "answers with text/html, not with an archive",
    "endless": r"sends more than the archive's [\d,]+ bytes",
}


@pytest.mark.parametrize("behaviour", REFUSED)
def test_what_is_refused(server: Server, tmp_path: Path, behaviour: str) -> None:
    server.behave = getattr(server, behaviour)
    with pytest.raises(errors.DownloadError, match=REFUSED[behaviour]):
        fetch("stl10", tmp_path)
    assert not (tmp_path / "set").exists()
    server.behave = server.whole
    check(fetch("stl10", tmp_path))  # nothing of it stays


@pytest.mark.parametrize(
    ("code", "message"), [(404, "answers 404 Not Found.*--mirror"), (500, "500 .*try again later")]
)
def test_status(server: Server, tmp_path: Path, code: int, message: str) -> None:
    server.behave = server.status(code)
    with pytest.raises(errors.DownloadError, match=message):
        fetch("stl10", tmp_path)


def test_no_server(tmp_path: Path, server: Server) -> None:
    with pytest.raises(errors.DownloadError, match=r"refused.*try again later"):
        fetch("stl10", tmp_path, mirror="http://127.0.0.1:9/set.tar.gz")


def test_a_wrong_checksum(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = server.content
    server.content = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    with pytest.raises(errors.DownloadError, match=r"has the MD5 sum \w{32}, not \w{32}, and is removed"):
        fetch("stl10", tmp_path)
    assert not (tmp_path / "set").exists()
    server.content = whole
    check(fetch("stl10", tmp_path))


def test_a_larger_leftover(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads" / "set.tar.gz").write_bytes(b"0" * (len(server.content) + 1))
    with pytest.raises(errors.DownloadError, match="was larger than the archive, and is removed"):
        fetch("stl10", tmp_path)
    check(fetch("stl10", tmp_path))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_that_leads_outside(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    server.content = packed(kind, {**INSIDE, "../../../outside": b"x", "set/../../../outside": b"x"})
    offer(monkeypatch, server)
    root = tmp_path / "a" / "b" / "c"
    if kind == "tar":
        with pytest.raises(errors.DownloadError, match="can't be unpacked"):
            fetch("stl10", root)
    else:
        fetch("stl10", root)
    outside = [path for path in tmp_path.rglob("outside") if root / "set" not in path.parents]
    assert outside == []


def test_an_archive_of_something_else(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = packed("tar", {"other/file": b"x"})
    offer(monkeypatch, server)
    with pytest.raises(errors.DownloadError, match="can't be unpacked"):
        fetch("stl10", tmp_path)


def test_no_room(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, server, unpacked=10**18)
    with pytest.raises(errors.DownloadError, match=r"GB left, and 1000000000\.0 GB are needed"):
        fetch("stl10", tmp_path)
    assert server.starts == []


def test_a_root_that_is_no_folder(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DownloadError, match=r"can't be written to .* with --data"):
        fetch("stl10", tmp_path / "file")


def test_two_downloads_at_once(server: Server, tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(errors.DownloadError, match="another process is downloading"):
            fetch("stl10", tmp_path)

    check(fetch("stl10", tmp_path, progress=second))


@pytest.mark.parametrize("name", ["slimagenet64", "clay10", "stl10-standin", "nothing"])
def test_what_cannot_be_fetched(tmp_path: Path, name: str) -> None:
    message = {"slimagenet64": "no checksum.*by hand from https://", "nothing": "no data set .*Known: cifar10"}
    with pytest.raises(errors.DownloadError, match=message.get(name, f"{name} can't be downloaded: it")):
        fetch(name, tmp_path)


def test_official_archives_are_unchanged() -> None:
    """These sums are published by the authors (CIFAR), by torchvision (STL-10) and by Avalanche (Tiny-ImageNet)."""
    assert {name: record.archive.md5 for name, record in CATALOGUE.items() if record.archive} == {
        "cifar10": "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar100": "03b5dce01913d631647c71ecec9e9cb8",
        "cifar100-20": "03b5dce01913d631647c71ecec9e9cb8",
        "stl10": "91f7769df0f17e558f3565bffb0c7dfb",
        "tinyimagenet": "90528d7ca1a48142e341f4ef8d21d0de",
    }
