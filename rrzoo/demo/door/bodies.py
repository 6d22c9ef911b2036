"""The body of a request, as far as it is allowed: not too large, not too slow."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from rrzoo.demo.door.routes import MB

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

GAP = 15.0  # seconds without a byte
GRACE, PACE = 15.0, 10_000  # seconds, and bytes a second: a body of n bytes may take GRACE + n / PACE

LINGER = 3.0  # seconds in which the rest of a refused body is read and dropped


class Refusal(Exception):  # noqa: N818 - no fault of ours: what the caller is told
    """The request is answered with this status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class CallerLeftError(Exception):
    """The caller has gone before the body was whole: there is nobody to answer."""


def header(scope: Message, name: bytes) -> str:
    """Return a header of a request, "" where it has none or more than one."""
    values = [value for key, value in scope["headers"] if key == name]
    return str(values[0].decode("latin-1")) if len(values) == 1 else ""


def length(scope: Message, most: int) -> int | None:
    """Return the length that a request says its body has, None if it says none.

    Raises:
        Refusal: it is no number, or more than `most` bytes.
    """
    said = header(scope, b"content-length")
    if not said:
        return None
    if not (said.isascii() and said.isdigit()):
        raise Refusal(400, "The length of the request is not a number.")
    if len(said) > 15 or int(said) > most:
        raise too_large(most)
    return int(said)


def too_large(most: int) -> Refusal:
    """Return what to say of a body above `most` bytes."""
    return Refusal(
        413, f"The request is larger than {most // MB} MB: send pictures as uploaded files, or smaller ones."
    )


class Incoming:
    """The `receive` of a request, which ends when the server stops, and knows whether the body has ended."""

    def __init__(self, receive: Receive, closing: asyncio.Event) -> None:
        """Read nothing yet."""
        self._receive, self._closing = receive, closing
        self.ended = False

    async def __call__(self) -> Message:
        """Return the next message."""
        receiving = asyncio.ensure_future(self._receive())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((receiving, closing), return_when=asyncio.FIRST_COMPLETED)
            message = receiving.result() if receiving.done() else {"type": "http.disconnect"}
        finally:
            receiving.cancel()
            closing.cancel()
        self.ended = self.ended or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read what is left of the body for a moment: many clients read no answer before they have sent all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while not self.ended:
                    await self()


async def pieces(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """Give a body piece by piece.

    Raises:
        Refusal: it is longer than `most` bytes, or arrives too slowly.
        CallerLeftError: it ends early.
    """
    start, size = time.monotonic(), 0
    while True:
        patience = min(GAP, GRACE + size / PACE - (time.monotonic() - start))
        try:
            message = await asyncio.wait_for(receive(), max(patience, 0))
        except TimeoutError:
            raise Refusal(408, "The request arrived too slowly: send it again.") from None
        if message["type"] != "http.request":
            raise CallerLeftError
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise too_large(most)
        yield piece
        if not message.get("more_body", False):
            return


async def whole(receive: Receive, most: int) -> bytes:
    """Return a whole body. Raises what `pieces` does."""
    return b"".join([piece async for piece in pieces(receive, most)])


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, and then what comes after it."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def answer(send: Send, status: int, content: Any, incoming: Incoming | None = None) -> None:
    """Answer a request in JSON; if a body is `incoming` that is not wanted, end the connection after the answer."""
    body = json.dumps(content).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if incoming:
        head.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if incoming:
        await incoming.drain()
    await send({"type": "http.response.body", "body": b""})
