"""The tools of the Model Context Protocol, through the door."""

import asyncio
import base64
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import REPOSITORY, START, app, free_port
from rrzoo.demo.door import streams

pytestmark = pytest.mark.slow

NO_LIMITS = httpx.Limits(max_connections=None)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo with --mcp."""
    port, folder = free_port(), tmp_path_factory.mktemp("mcp")
    environment = os.environ | {"GRADIO_TEMP_DIR": str(folder / "uploads")}
    with (folder / "log").open("w") as log:
        command = app("--port", str(port), "--model", "conv4-cifar10", "--mcp")
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        end = time.monotonic() + START
        while "Running on" not in (folder / "log").read_text():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in (folder / "log").read_text()


def ask(server: str, tool: str, arguments: dict[str, Any]) -> tuple[list[str], bool, str]:
    """Return the names of the tools, whether a call failed, and what it said."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def run() -> tuple[list[str], bool, str]:
        async with (
            streamablehttp_client(f"{server}/gradio_api/mcp/") as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            answer = await session.call_tool(tool, arguments)
            return names, bool(answer.isError), answer.content[0].text

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_a_picture_as_data_is_answered(tools: str) -> None:
    content = (REPOSITORY / "docs" / "pictures" / "horse.png").read_bytes()
    picture = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    names, failed, text = ask(tools, "classify", {"picture": picture})
    assert sorted(names) == ["classify", "embed", "relate", "search"]
    assert not failed
    assert "horse" in text


@pytest.mark.parametrize("picture", ["http://127.0.0.1:9/a.png", "http://169.254.169.254/", "/etc/passwd", "file:///x"])
def test_no_address_is_opened(tools: str, picture: str) -> None:
    _, failed, text = ask(tools, "classify", {"picture": picture})
    assert failed
    assert "none is opened here" in text or "Invalid file data format" in text
    assert str(Path.home()) not in text


def test_what_is_no_tool_has_no_route(tools: str) -> None:
    for path in ("mcp/upload_file_to_gradio", "mcp/../component_server", "mcp/http/x"):
        assert httpx.post(f"{tools}/gradio_api/{path}", json={}, trust_env=False, timeout=30).status_code == 404


def test_of_too_many_that_listen_the_oldest_end(tools: str) -> None:
    more = 3
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=tools, trust_env=False, timeout=30, limits=NO_LIMITS))
        listening = [
            stack.enter_context(client.stream("GET", "/gradio_api/mcp/sse", headers={"accept": "text/event-stream"}))
            for _ in range(streams.LISTENERS + more)
        ]
        for oldest in listening[:more]:
            assert oldest.status_code == 200
            for _ in oldest.iter_raw():  # until the server ends it
                pass
        assert ask(tools, "classify", {"picture": "x"})[0]  # others are answered
