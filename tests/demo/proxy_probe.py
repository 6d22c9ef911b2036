"""Asks a demo for other hosts' pages, in every way that Gradio knows, inside a network namespace with such hosts.

    unshare --net --mount python proxy_probe.py ADDRESS ...

prints in JSON: the status of each request, the answer of each call, and how often the other hosts were reached.
"""

import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from conftest import REPOSITORY, START, app

PORT, OTHER = 7860, 8099
NAME = "changes.example"  # in the namespace's /etc/hosts
reached: list[str] = []


class OtherHost(http.server.BaseHTTPRequestHandler):
    """Notes who comes."""

    def do_GET(self) -> None:
        reached.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"secret")

    do_HEAD = do_POST = do_GET  # noqa: N815 - the base class calls them so

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class OtherHosts(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def ask(method: str, target: str, body: Any = None, headers: str = "") -> tuple[int, str]:
    """Send a request whose target stays as it is; return its status and the answer."""
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    with socket.create_connection(("127.0.0.1", PORT), timeout=30) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: close\r\n{headers}\r\n"
        connection.sendall(head.encode() + content)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer.decode(errors="replace")


def addresses(hosts: list[str]) -> list[str]:
    """Return addresses of the other hosts, as attackers write them."""
    plain = hosts[0]
    number = int.from_bytes(socket.inet_aton(plain), "big")
    written = [*hosts[:1], f"[{hosts[1]}]", NAME, f"{NAME}.", str(number), hex(number), f"[::ffff:{plain}]"]
    written += [f"127.0.0.1@{plain}", f"{plain.replace('.', '%2e')}", "①②⑦.0.0.1"]
    return [f"{scheme}{host}:{OTHER}/a.png" for host in written for scheme in ("http://", "HtTp://", "https://")] + [
        f"//{plain}:{OTHER}/a.png",
        f"http:/{plain}:{OTHER}/a.png",
        f"http:\\\\{plain}:{OTHER}/a.png",
        f" http://{plain}:{OTHER}/a.png",
        f"\thttp://{plain}:{OTHER}/a.png",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "../../../../etc/passwd",
        str(REPOSITORY / "app.py"),
    ]


def targets(address: str) -> list[str]:
    """Return the paths by which Gradio, now or in some version, opens what they name."""
    once = address.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")
    once = re.sub(r"[^\x21-\x7e]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), once)
    plain = re.sub(r"[^\x21-\x7e]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), address)
    before = ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/proxy=", "/gradio_api/FILE="]
    before += ["//gradio_api/file=", "/gradio_api//file=", "/gradio_api/./file=", "/x/../gradio_api/file="]
    before += ["/gradio_api/%66ile=", "/gradio_api/file%3D", f"http://127.0.0.1:{PORT}/gradio_api/file="]
    before += [
        "/static/../gradio_api/file=",
        "/gradio_api/stream/a/b/1/playlist-file?x=",
        "/gradio_api/deep_link?deep_link=",
    ]
    return [path + form for path in before for form in (plain, once, once.replace("%", "%25"))]


def calls(address: str) -> list[Any]:
    """Return inputs that name an address in place of an upload."""
    file = {"meta": {"_type": "gradio.FileData"}}
    return [
        {"path": address, **file},
        {"path": "a.png", "url": address, **file},
        {"url": address, **file},
        {"path": None, "url": address, **file},
        {"path": address, "is_stream": True, **file},
        {"path": {"path": address, **file}, **file},
        {"image": {"path": address, **file}, "caption": None},
        [[{"path": address, **file}]],
        address,
    ]


def named_calls(address: str) -> list[str]:
    """Return how calls of an endpoint for programs end that name an address."""
    ends = []
    for value in calls(address):
        for path, body in (("call/embed", {"data": [value]}), ("call/v2/embed", {"picture": value})):
            status, answer = ask("POST", f"/gradio_api/{path}", body)
            if status == 200:
                event = re.search(r'"event_id":"(\w+)"', answer)
                assert event
                _, answer = ask("GET", f"/gradio_api/call/embed/{event[1]}")
                ends.append(re.findall(r"^event: (\w+)", answer, re.MULTILINE)[-1])
            else:
                ends.append(str(status))
    return ends


def page_calls(address: str) -> list[int]:
    """Return the statuses of calls of the page, and of what else Gradio has routes for."""
    body = {"session_hash": "probing", "fn_index": 1, "data": [address], "event_data": {"url": address}, "url": address}
    paths = ["queue/join", "component_server", "process_recording", "vibe-edit", "vibe-code", "run/embed", "api/embed"]
    paths += ["stream/abc", "run-history/connect", "cancel", "reset", "login", "upload"]
    statuses = [ask("POST", f"/gradio_api/{path}", body | {"prompt": address, "code": "1"})[0] for path in paths[1:]]
    for value in calls(address):
        for number in (1, 5, 19, 21, 24):
            ask("POST", "/gradio_api/queue/join", body | {"fn_index": number, "data": [value]})
    return statuses


def main(hosts: list[str]) -> None:
    """Start both, ask for everything, and print."""
    other = OtherHosts(("::", OTHER), OtherHost)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    for host in (*hosts, NAME):
        socket.create_connection((host, OTHER)).close()  # they can be reached
    demo = subprocess.Popen(
        app("--model", "conv4-cifar10"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(START * 5):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                    break
            time.sleep(0.2)
        every = addresses(hosts)
        forged = f"X-Forwarded-Host: {hosts[0]}:{OTHER}\r\nX-Forwarded-Proto: http\r\nForwarded: host={hosts[0]}\r\n"
        result = {
            "gets": {t: ask("GET", t)[0] for address in every for t in targets(address)},
            "heads": sorted({ask("HEAD", t)[0] for address in every[:4] for t in targets(address)}),
            "forged": ask("GET", "/config", headers=forged)[0],
            "named": sorted({end for address in every for end in named_calls(address)}),
            "page": sorted({status for address in every[:2] for status in page_calls(address)}),
            "alive": ask("GET", "/")[0],
        }
    finally:
        demo.terminate()
        _, complaints = demo.communicate(timeout=20)
    print(json.dumps(result | {"reached": reached, "log": complaints}))


if __name__ == "__main__":
    main(sys.argv[1:])
