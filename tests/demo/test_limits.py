"""How much and how slowly a demo lets itself be sent: bodies, uploads of one visitor and of all, slow senders."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from rrzoo.demo.door import bodies, uploading
from rrzoo.demo.door.bodies import Refusal
from rrzoo.demo.door.quota import Quota

MULTIPART = {"content-type": "multipart/form-data; boundary=edge"}


def arrived(demo_folder: Path) -> list[Path]:
    """Return what lies where the running demo keeps the uploads of visitors."""
    return sorted((demo_folder / "uploads").glob("rrzoo-*/uploads/*"))


def part(name: str, content: bytes, field: str = "files") -> bytes:
    return (
        f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
    )


def post(server: str, path: str, content: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server}{path}", content=content, headers=named, timeout=60, trust_env=False)


@pytest.mark.parametrize("path", ["call/upload", "call/embed", "call/v2/embed", "queue/join"])
def test_calls_have_small_bodies_whatever_they_are_called(server: str, path: str) -> None:
    answer = post(server, f"/gradio_api/{path}", b"[" * 3_000_000, content_type="application/json")
    assert (answer.status_code, answer.json()["detail"][:35]) == (413, "The request is larger than 2 MB: se")

    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b"[" * 100_000

    streamed = httpx.post(
        f"{server}/gradio_api/{path}", content=chunks(), headers={"content-type": "application/json"}, trust_env=False
    )
    assert streamed.status_code == 413


@pytest.mark.parametrize(
    ("content", "headers", "status", "sentence"),
    [
        (b"", {}, 400, "not multipart/form-data with a boundary"),
        (b"{}", {"content-type": "application/json"}, 400, "not multipart/form-data with a boundary"),
        (b"{}", {"content-type": "multipart/form-data"}, 400, "not multipart/form-data with a boundary"),
        (b"nothing", MULTIPART, 400, "damaged"),
        (b"", MULTIPART, 400, "cut off"),
        (part("a.png", b"abc"), MULTIPART, 400, "cut off"),
        (b"--edge--", MULTIPART, 400, "holds no file"),
        (
            b'--edge\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--edge--',
            MULTIPART,
            400,
            "no file: send",
        ),
        (part("a.png", b"abc", "others") + b"--edge--", MULTIPART, 400, "no file: send"),
        (b"--edge\r\n\r\nx\r\n--edge--", MULTIPART, 400, "no file: send"),
        (part("a.png", b"") * 501 + b"--edge--", MULTIPART, 413, "more than 500 files"),
        (part("a.png", bytes(20_000_001)) + b"--edge--", MULTIPART, 413, "larger than 20 MB"),
        (b"--edge\r\n" + b"A" * 100_000 + b": x\r\n\r\n", MULTIPART, 400, "damaged"),
    ],
)
def test_uploads_that_are_none_get_a_sentence_and_leave_nothing(
    server: str, demo_folder: Path, content: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    before = arrived(demo_folder)
    answer = httpx.post(f"{server}/gradio_api/upload", content=content, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert arrived(demo_folder) == before


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ("a b.png", "a b.png"),
        ("../../etc/passwd", "passwd"),
        (r"C:\pictures\a.png", "a.png"),
        ("..", "picture"),
        ("", "picture"),
        ("/", "picture"),
        (".bashrc", "bashrc"),
        ("<img src=x onerror=alert(1)>.png", "img srcx onerroralert1.png"),
        ("a\0b\n.png", "ab.png"),
        ("\ud800.png", "png"),
        ("Möwe 7.jpg", "Möwe 7.jpg"),
        ("x" * 5000 + ".png", "x" * 196 + ".png"),
        ("ö" * 5000 + ".png", "ö" * 98 + ".png"),
    ],
)
def test_names_of_uploads_lead_nowhere(told: str, stored: str) -> None:
    assert uploading.safe_name(told) == stored


def test_a_broken_connection_leaves_nothing(server: str, demo_folder: Path) -> None:
    before = arrived(demo_folder)
    host, _, port = server.removeprefix("http://").partition(":")
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Type: {MULTIPART['content-type']}\r\n\r\n".encode() + part("a.png", b"abc"))
        until(lambda: arrived(demo_folder) != before)
    until(lambda: arrived(demo_folder) == before)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, a minute at most: a busy machine is slow."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def slow(server: str, start: bytes) -> socket.socket:
    host, _, port = server.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(start)
    return connection


@pytest.mark.slow
def test_fifty_slow_senders_stop_nobody_and_are_cut_off(server: str) -> None:
    """Some say nothing, some do not end their head, some announce a large body and send a byte of it."""
    upload = b"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
    call = b"POST /gradio_api/call/embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    starts = [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        upload + b"Content-Length: 900000000\r\n\r\n" + part("a.png", b"a"),
        call + b"Content-Length: 1900000\r\n\r\n{",
        call + b"Transfer-Encoding: chunked\r\n\r\n",
    ]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(slow(server, start)) for start in starts for _ in range(10)]
        visitor = httpx.Client(base_url=server, timeout=10, trust_env=False)
        stack.enter_context(visitor)
        assert visitor.get("/").status_code == 200
        assert visitor.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 200
        answers = [connection.recv(1000) for connection in connections]  # returns once the server answers or hangs up
    assert answers[:20] == [b""] * 20
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers[20:])


@pytest.mark.parametrize(("after", "expected"), [(10.0, "took"), (40.0, "slow")])
def test_a_body_may_take_as_long_as_its_size_allows(
    monkeypatch: pytest.MonkeyPatch, after: float, expected: str
) -> None:
    """100 kB may take 15 seconds and 10 more."""
    clock = iter([0.0, 0.0, after, after, after])
    monkeypatch.setattr(bodies.time, "monotonic", lambda: next(clock, after))
    messages = [
        {"type": "http.request", "body": bytes(100_000), "more_body": True},
        {"type": "http.request", "body": b""},
    ]

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def read() -> str:
        try:
            await bodies.whole(receive, 10**6)
        except Refusal as refusal:
            return "slow" if refusal.status == 408 else "other"
        return "took"

    assert asyncio.run(read()) == expected


def bring(quota: Quota, name: str, visitor: str, size: int) -> Path:
    with quota.arriving(name, visitor) as (place, make_room):
        make_room(size)
        (place / "a").write_bytes(bytes(size))
    return place


def test_the_oldest_uploads_make_room_for_new_ones(tmp_path: Path) -> None:
    quota = Quota(tmp_path, per_visitor=100, in_all=250)
    first, second = (bring(quota, name, "ann", 40) for name in ("1", "2"))
    third = bring(quota, "3", "ann", 40)
    assert [place.exists() for place in (first, second, third)] == [False, True, True]
    bob, cid = bring(quota, "4", "bob", 90), bring(quota, "5", "cid", 100)
    assert [place.exists() for place in (second, third, bob, cid)] == [False, True, True, True]
    (third / "a").unlink()
    third.rmdir()  # read, and removed: that makes room before anything that is there
    dan = bring(quota, "6", "dan", 60)
    assert [place.exists() for place in (bob, cid, dan)] == [True, True, True]


def test_what_is_too_large_for_any_room_is_refused_and_what_is_announced_takes_none(tmp_path: Path) -> None:
    quota = Quota(tmp_path, per_visitor=100, in_all=250)
    with quota.arriving("1", "ann") as (_, make_room):
        make_room(60)
        with pytest.raises(Refusal, match="Too much is being uploaded"):
            bring(quota, "2", "ann", 50)
        bring(quota, "3", "bob", 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3"]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrzoo.demo.door.quota.SPARE", 10**18)
    with pytest.raises(Refusal, match="The server's disk is full") as caught:
        bring(Quota(tmp_path), "1", "ann", 1)
    assert caught.value.status == 507
    assert list(tmp_path.iterdir()) == []


def test_many_small_uploads_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrzoo.demo.door.quota.REQUESTS", 5)
    quota = Quota(tmp_path)
    for number in range(20):
        bring(quota, str(number), "ann", 1)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [14, 15, 16, 17, 18, 19]
