"""The door: the outermost ASGI application, before Gradio and all that Gradio brings."""

import asyncio
import json
import logging
import os
import re
import traceback
from collections import OrderedDict
from pathlib import Path
from urllib.parse import parse_qsl

from rrzoo.demo import uploads
from rrzoo.demo.door import calls, routes, uploading
from rrzoo.demo.door.bodies import (
    Application,
    CallerLeftError,
    Incoming,
    Message,
    Receive,
    Refusal,
    Send,
    answer,
    header,
    length,
    replay,
    whole,
)
from rrzoo.demo.door.outgoing import Outgoing
from rrzoo.demo.door.quota import Quota
from rrzoo.demo.door.routes import MB, Route
from rrzoo.demo.door.streams import ANSWERS, LISTENERS, LONGEST, PAGES, Streams

LONGEST_QUERY = 2_000  # bytes of what follows the question mark
IN_MEMORY = 100 * MB  # of bodies that are being read, all together; uploads go to the disk
KNOWN = 1_000  # sessions and events that answers may be asked for; Gradio remembers 2,000
PARTS = (b"range", b"if-range")  # of a file: Gradio fails at some, and pictures are small enough to be sent whole
PROGRESS = 3.0, 0.05  # seconds for an upload to begin, and between two looks at how far it is

MISUNDERSTOOD = "The request can't be understood."

log = logging.getLogger("uvicorn.error")


class Door:
    """Passes on what the page and programs need, once it is checked, and answers everything else itself."""

    def __init__(self, app: Application, functions: calls.Functions, folder: Path, mcp: bool = False) -> None:
        """Stand before `app`.

        Args:
            app: what serves the page.
            functions: what may be called there.
            folder: the only one whose files are served; `uploads` in it is for those of visitors.
            mcp: let requests of the Model Context Protocol pass.
        """
        self.closing = asyncio.Event()  # set when the server stops: what would go on for ever ends
        self._app, self._functions, self._mcp = app, functions, mcp
        self._folder = Path(os.path.realpath(folder))
        self._quota = Quota(self._folder / uploads.UPLOADS)
        self._tracker = uploading.Tracker()
        self._reading = 0  # bytes of memory that bodies may take
        self._known: OrderedDict[str, None] = OrderedDict()
        answers = Streams(ANSWERS, LONGEST, evict=True)
        self._streams = {
            "heartbeat": Streams(PAGES, None, evict=False),
            "answers": answers,
            "answer": answers,
            "mcp": Streams(LISTENERS, LONGEST, evict=True),
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or let it be answered."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        incoming, outgoing = Incoming(receive, self.closing), Outgoing(send)
        found = routes.find(scope["method"], scope["path"], self._mcp)
        try:
            if found is None:
                raise Refusal(404, "There is nothing here.")
            await self._serve(*found, scope, incoming, outgoing)
            if outgoing.failed:
                raise Refusal(400, MISUNDERSTOOD)
        except Refusal as refusal:
            await answer(send, refusal.status, {"detail": refusal.sentence}, incoming)
        except CallerLeftError:
            pass
        except TimeoutError:  # a stream had to end
            await outgoing.end()
        except Exception as problem:
            # what reaches this place is Gradio's: of a call that it takes for impossible, or a stream that has gone
            last = traceback.extract_tb(problem.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            log.warning("%s %s: %s at %s: %.200s", scope["method"], found, type(problem).__name__, where, problem)
            if not outgoing.started:
                await answer(send, 400, {"detail": MISUNDERSTOOD}, incoming)

    async def _serve(self, route: Route, groups: tuple[str, ...], scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD") and header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            raise Refusal(403, "The request comes from a page of another site, which can't use this demo.")
        query = _query(scope)
        scope = {**scope, "headers": [(key, value) for key, value in scope["headers"] if key not in PARTS]}
        if route.kind == "upload":
            await self._upload(route, query, scope, receive, send)
            return
        if route.kind == "progress":
            await self._progress(query.get("upload_id", ""), receive, send)
            return
        if route.kind == "file":
            self._check_file(groups[0])
        name = query.get("session_hash", "") if route.kind == "answers" else groups[-1] if groups else ""
        if route.kind in ("answers", "answer"):
            self._check_known(name)
        if route.kind == "mcp":
            scope, name = _from_here(scope), header(scope, b"mcp-session-id") or str(id(scope))
        if route.kind in self._streams and scope["method"] == "GET":
            async with self._streams[route.kind].opened(name):
                await self._app(scope, receive, send)
            return
        if scope["method"] == "POST":
            scope, receive, send = await self._read_call(route, groups, scope, receive, send)
        await self._app(scope, receive, send)

    async def _read_call(
        self, route: Route, groups: tuple[str, ...], scope: Message, receive: Receive, send: Send
    ) -> tuple[Message, Receive, Send]:
        """Return a call as Gradio may see it."""
        if not header(scope, b"content-type").lower().startswith("application/json"):
            raise Refusal(415, "The request is not of the type application/json.")
        size = length(scope, route.most)
        room = route.most if size is None else size
        if self._reading + room > IN_MEMORY:
            raise Refusal(503, "Too many requests arrive at the same time: send it again in a moment.")
        self._reading += room
        try:
            body = await whole(receive, route.most)
        finally:
            self._reading -= room
        if route.kind == "join":
            body, session = calls.join(body, self._functions)
            self._remember(session)
        elif route.kind == "call":
            by_name = scope["path"].startswith("/gradio_api/call/v2/")
            body = calls.named(body, groups[0], by_name, self._functions)
            send = self._remembering_event(send)
            path = f"/gradio_api/call/{groups[0]}"
            scope = {**scope, "path": path, "raw_path": path.encode()}
        dropped = (b"content-length", b"transfer-encoding")
        headers = [(key, value) for key, value in scope["headers"] if key not in dropped]
        headers.append((b"content-length", str(len(body)).encode()))
        return {**scope, "headers": headers}, replay(body, receive), send

    async def _upload(self, route: Route, query: dict[str, str], scope: Message, receive: Receive, send: Send) -> None:
        upload = query.get("upload_id", "")
        progress = self._tracker.start(upload) if upload else lambda name, size: None
        try:
            paths = await uploading.receive_upload(scope, receive, route.most, self._quota, progress)
        finally:
            self._tracker.done(upload)
        await answer(send, 200, paths)

    async def _progress(self, upload: str, receive: Receive, send: Send) -> None:
        patience, pause = PROGRESS
        for _ in range(int(patience / pause)):
            if (news := self._tracker.take(upload)) is not None:
                break
            await asyncio.sleep(pause)
        else:
            raise Refusal(404, "There is no such upload.")
        leaving = asyncio.ensure_future(receive())  # first the empty body, then the end of the connection
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        try:
            while news is not None and not (leaving.done() and leaving.result()["type"] == "http.disconnect"):
                if leaving.done():
                    leaving = asyncio.ensure_future(receive())
                text = "".join(f"data: {json.dumps(piece)}\n\n" for piece in news)
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                await asyncio.sleep(pause)
                news = self._tracker.take(upload)
        finally:
            leaving.cancel()
        await send({"type": "http.response.body", "body": b""})

    def _check_file(self, path: str) -> None:
        """Refuse what is not the one and only path of a regular file in the folder, as a name that leads elsewhere."""
        try:
            inside = os.path.realpath(path) == path and Path(path).is_relative_to(self._folder) and Path(path).is_file()
        except (OSError, ValueError):
            inside = False
        if not inside:
            raise Refusal(404, "There is no such file here (any more).")

    def _check_known(self, name: str) -> None:
        if name not in self._known:
            raise Refusal(404, "No call was made whose answer this could be.")

    def _remember(self, name: str) -> None:
        self._known[name] = None
        self._known.move_to_end(name)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _remembering_event(self, send: Send) -> Send:
        async def send_and_remember(message: Message) -> None:
            if match := re.search(rb'"event_id"\s*:\s*"(\w+)"', message.get("body", b"")):
                self._remember(match[1].decode())
            await send(message)

        return send_and_remember


def _query(scope: Message) -> dict[str, str]:
    """Return what follows the question mark; of two values with one name neither."""
    text = scope["query_string"]
    if len(text) > LONGEST_QUERY:
        raise Refusal(414, f"The address is longer than {LONGEST_QUERY} bytes.")
    pairs = parse_qsl(text.decode("latin-1"))
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _from_here(scope: Message) -> Message:
    """Return a request as this machine would send it: Gradio's MCP server calls whatever host its headers name."""
    host, port = scope["server"]
    named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    others = [(key, value) for key, value in scope["headers"] if key != b"host" and not key.startswith(b"x-forwarded")]
    return {**scope, "headers": [*others, (b"host", named.encode())]}
