"""The server of the page: it waits for nobody who opens connections and says nothing, and stops when it is told to."""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rrzoo import errors
from rrzoo.demo.door.door import Door

HEADERS = 10.0  # seconds in which the head of a request has to arrive
STALLED = 30.0  # seconds in which a caller who reads slowly has to take what is ready, some 64 kB
CONNECTIONS = 700  # at the same time; more get the answer to try again. A process may have some 1,000 files open


class Protocol(H11Protocol):
    """HTTP that ends a connection whose request does not begin, whose head does not end, or whose answer waits."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_is_due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read, and go on waiting while no request is whole."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._forget()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Wait for the caller to read, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED, self.transport.abort)

    def resume_writing(self) -> None:
        """Write again."""
        super().resume_writing()
        if self._stalled:
            self._stalled.cancel()
        self._stalled = None

    def _watch(self) -> None:
        between_requests = self.cycle is None or self.cycle.response_complete
        if not between_requests:
            self._forget()
        elif self._head_is_due is None:
            self._head_is_due = self.loop.call_later(HEADERS, self.transport.close)

    def _forget(self) -> None:
        if self._head_is_due:
            self._head_is_due.cancel()
        self._head_is_due = None


class Server(uvicorn.Server):
    """Ends, when it stops, what would go on for ever."""

    def __init__(self, config: uvicorn.Config, door: Door) -> None:
        super().__init__(config)
        self._door = door

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and let what streams end."""
        self._door.closing.set()
        await super().shutdown(sockets)


def serve(door: Door, host: str, port: int) -> None:
    """Serve until the process is told to stop.

    Raises:
        errors.ArgumentError: the address or the port can't be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, OverflowError) as problem:
        message = f"{host}:{port} can't be served on: {problem}"
        raise errors.ArgumentError(f"{message}. Choose another port with --port, or address with --host") from None
    with listener:
        shown = f"[{host}]" if ":" in host else "localhost" if host == "0.0.0.0" else host
        print(f"Running on http://{shown}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            door,
            http=Protocol,
            ws="none",
            proxy_headers=False,  # a visitor's address is that of the connection, whatever a header says
            log_level="warning",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        Server(config, door).run(sockets=[listener])
