"""Callers who stay: streams without end, answers that nobody reads, files in parts; and pages of other sites."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest
import uvicorn

from rrzoo.demo import serving
from rrzoo.demo.door import streams
from rrzoo.demo.door.bodies import Message, Receive, Refusal, Send
from rrzoo.demo.door.outgoing import Outgoing
from rrzoo.demo.door.streams import Streams


async def stay(room: Streams, name: str, ends: dict[str, str]) -> None:
    """Hold a place until it is taken away; note how that ends."""
    try:
        async with room.opened(name):
            ends[name] = "open"
            await asyncio.sleep(30)
    except TimeoutError:
        ends[name] = "ended"
    except Refusal as refusal:
        ends[name] = str(refusal.status)


def held(room: Streams, names: list[str]) -> dict[str, str]:
    """Open streams one after another; return what has become of each."""
    ends: dict[str, str] = {}

    async def run() -> None:
        tasks = []
        for name in names:
            tasks.append(asyncio.ensure_future(stay(room, name, ends)))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()

    asyncio.run(run())
    return ends


def test_one_answer_too_many_ends_the_oldest() -> None:
    assert held(Streams(2, None, evict=True), ["a", "b", "c", "d"]) == {
        "a": "ended",
        "b": "ended",
        "c": "open",
        "d": "open",
    }


def test_one_page_too_many_is_refused() -> None:
    assert held(Streams(2, None, evict=False), ["a", "b", "c"]) == {"a": "open", "b": "open", "c": "503"}


def test_no_stream_lasts_for_ever() -> None:
    assert held(Streams(2, 0.05, evict=True), ["a"]) == {"a": "ended"}


def test_places_are_given_back() -> None:
    room = Streams(1, None, evict=False)
    for _ in range(3):
        assert held(room, ["a"]) == {"a": "open"}


def opened(server: str, path: str, count: int) -> list[socket.socket]:
    host, _, port = server.removeprefix("http://").partition(":")
    connections = []
    for _ in range(count):
        connections.append(socket.create_connection((host, int(port)), timeout=30))
        connections[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connections


def test_many_who_wait_for_one_answer_leave_room(server: str) -> None:
    """An answer that was given already never comes again: who asks for it would wait for ever."""
    event = httpx.post(f"{server}/gradio_api/call/embed", json={"data": [None]}, trust_env=False, timeout=60).json()[
        "event_id"
    ]
    answer = httpx.get(f"{server}/gradio_api/call/embed/{event}", trust_env=False, timeout=60)
    assert "event: error" in answer.text
    with contextlib.ExitStack() as stack:
        waiting = [
            stack.enter_context(one) for one in opened(server, f"/gradio_api/call/embed/{event}", streams.OF_ONE + 3)
        ]
        assert [one.recv(12) for one in waiting] == [b"HTTP/1.1 200"] * streams.OF_ONE + [b"HTTP/1.1 503"] * 3


@pytest.mark.slow
def test_pages_that_stay_open_stop_nobody(server: str) -> None:
    with contextlib.ExitStack() as stack:
        statuses = []
        for number in range(streams.PAGES + 5):
            (one,) = opened(server, f"/gradio_api/heartbeat/staying-{number}", 1)
            statuses.append(stack.enter_context(one).recv(12))
        let_in = statuses.count(b"HTTP/1.1 200")
        assert statuses == [b"HTTP/1.1 200"] * let_in + [b"HTTP/1.1 503"] * (len(statuses) - let_in)
        assert streams.PAGES - 10 <= let_in <= streams.PAGES  # pages of other tests' visitors may be open still
        assert streams.PAGES + streams.ANSWERS < serving.CONNECTIONS - 100
        assert httpx.get(server, trust_env=False, timeout=60).status_code == 200


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    """Send without end what nobody reads."""
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(10_000):
        await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server that waits half a second for readers."""
    monkeypatch.setattr(serving, "STALLED", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(endless, http=serving.Protocol, ws="none", log_level="error", lifespan="off")
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        running.should_exit = running.force_exit = True
        thread.join(20)


def test_who_does_not_read_is_cut_off(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=20) as idle, socket.create_connection(impatient, 20) as reader:
        for one in (idle, reader):
            one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        end, taken = time.monotonic() + 2, 0
        while time.monotonic() < end:  # slower than what is sent, but going on
            taken += len(reader.recv(500_000))
            time.sleep(0.01)
        assert taken > 5_000_000
        kept = 0  # what the system holds of a connection that has ended
        with contextlib.suppress(ConnectionResetError):
            while some := idle.recv(1_000_000):
                kept += len(some)
        assert kept < 100_000_000


def sent(application: Callable[[Outgoing], Awaitable[None]]) -> tuple[Outgoing, list[Message]]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    outgoing = Outgoing(send)
    asyncio.run(application(outgoing))
    return outgoing, messages


def test_no_500_leaves_the_house() -> None:
    async def broken(send: Outgoing) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"Internal Server Error"})

    outgoing, messages = sent(broken)
    assert (outgoing.started, outgoing.failed, messages) == (False, True, [])


def test_an_answer_ends_once() -> None:
    async def half(send: Outgoing) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send.end()

    async def whole(send: Outgoing) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a"})
        await send.end()

    assert [one.get("more_body", False) for one in sent(half)[1][1:]] == [True, False]
    assert len(sent(whole)[1]) == 2


@pytest.mark.parametrize("wanted", ["bytes=0-0,2-2", "bytes=--1", "bytes=5-1", "bytes=0-" + "9" * 4000, "bytes=1-2"])
def test_parts_of_files_are_not_given(server: str, wanted: str) -> None:
    """Gradio answers 500 to some of these."""
    upload = httpx.post(
        f"{server}/gradio_api/upload", files={"files": ("a.png", b"0123456789")}, trust_env=False, timeout=60
    )
    for path in (f"/gradio_api/file={upload.json()[0]}", "/favicon.ico"):
        answer = httpx.get(server + path, headers={"range": wanted}, trust_env=False, timeout=60)
        assert answer.status_code == 200
        assert "content-range" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_can_send_and_read_nothing(server: str, site: str) -> None:
    """A form can upload to any host, and Gradio lets every page read what it asks for."""
    headers = {"sec-fetch-site": site, "origin": "http://other.example", "host": "demo.example"}
    for path, content in (("upload", {"files": {"files": ("a.png", b"x")}}), ("queue/join", {"json": {}})):
        answer = httpx.post(f"{server}/gradio_api/{path}", headers=headers, trust_env=False, timeout=60, **content)
        assert answer.status_code == 403
    answer = httpx.get(f"{server}/config", headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert [name for name in answer.headers if name.startswith("access-control")] == []
    assert answer.headers["x-content-type-options"] == "nosniff"
