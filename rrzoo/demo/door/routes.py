"""Everything that the demo answers to. What is not here is answered 404, before Gradio sees it."""

import re
from dataclasses import dataclass

MB = 1_000_000
SESSION = r"[A-Za-z0-9-]{6,64}"  # the page and programs draw theirs at random
EVENT = r"[0-9a-f]{32}"
NAME = r"[a-z_]{1,40}"
ASSET = r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*"  # neither empty parts nor leading dots


@dataclass(frozen=True)
class Route:
    """One kind of request."""

    methods: tuple[str, ...]
    pattern: str  # of the whole path; groups are read by whoever handles it
    need: str  # what the page or programs need it for
    kind: str = "page"  # who handles it: see `rrzoo.demo.door.door`
    most: int = 0  # bytes of the request's body


ROUTES = (
    Route(("GET", "HEAD"), "/", "the page"),
    Route(("GET",), "/favicon.ico", "its icon"),
    Route(("GET",), "/preview.jpg", "the picture beside a link to it"),
    Route(("GET",), "/theme.css", "its colours"),
    Route(("GET",), f"/(?:assets|static)/{ASSET}", "scripts, styles and fonts of Gradio"),
    Route(("GET",), "/config", "what Gradio's Python client reads first"),
    Route(("GET",), "/gradio_api/info", "the endpoints, for that client and for *Use via API*"),
    Route(
        ("GET",),
        f"/gradio_api/heartbeat/({SESSION})",
        "forgets a visitor's gallery and model when its page is closed",
        "heartbeat",
    ),
    Route(("POST",), "/gradio_api/upload", "a visitor's pictures", "upload", 1_000 * MB),
    Route(("GET",), "/gradio_api/upload_progress", "how far an upload is", "progress"),
    Route(("GET",), r"/gradio_api/file=(/[^\0]{1,1000})", "files that this server wrote, no others", "file"),
    Route(("POST",), "/gradio_api/queue/join", "a call of the page or of the Python client", "join", 2 * MB),
    Route(("GET",), "/gradio_api/queue/data", "the answers to a session's calls", "answers"),
    Route(("POST",), f"/gradio_api/call/(?:v2/)?({NAME})/?", "a call by HTTP alone", "call", 2 * MB),
    Route(("GET",), f"/gradio_api/call/(?:v2/)?({NAME})/({EVENT})", "the answer to it", "answer"),
)
# a base64 data: URL as MCP sends it is a third larger than the file
MCP = Route(
    ("GET", "POST", "DELETE"),
    r"/gradio_api/mcp(?:/|/http/?|/sse|/messages/?|/schema)?",
    "the tools of the Model Context Protocol, with --mcp alone",
    "mcp",
    28 * MB,
)


def find(method: str, path: str, mcp: bool = False) -> tuple[Route, tuple[str, ...]] | None:
    """Return the route of a request and the groups of its pattern, or None: the demo does not answer to it.

    Args:
        method: as it came: methods are in capitals.
        path: the path once decoded, as Gradio would read it.
        mcp: whether the Model Context Protocol is served.
    """
    for route in (*ROUTES, MCP) if mcp else ROUTES:
        if method in route.methods and (match := re.fullmatch(route.pattern, path)):
            return route, tuple(group or "" for group in match.groups())
    return None


def table() -> str:
    """Return all routes as a table in Markdown: what SECURITY.md shows."""
    lines = ["| request | needed for | body |", "|---|---|---|"]
    for route in (*ROUTES, MCP):
        path = route.pattern.replace(ASSET, "FILE").replace(SESSION, "SESSION").replace(EVENT, "EVENT")
        path = path.replace(NAME, "NAME").replace(r"(/[^\0]{1,1000})", "PATH").replace("(?:assets|static)", "assets")
        path = re.sub(r"\(\?:v2/\)\?|/\?$|\(\?:.*\)\?$", "", path).translate(str.maketrans("", "", "()"))
        body = f"{route.most // MB:,} MB" if route.most else ""
        lines.append(f"| `{' '.join(route.methods)} {path}` | {route.need} | {body} |")
    return "\n".join(lines)
