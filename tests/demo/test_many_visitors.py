"""Many visitors, one after another and at once: memory and descriptors stay, and a full queue empties again."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from rrzoo.demo import page

VISITS = 2_000
AT_ONCE = 10


def server_process(server: str) -> Path:
    """Return /proc/PID of the running demo."""
    port = server.rpartition(":")[2].encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if b"app.py" in path.read_bytes() and b"--port\0" + port in path.read_bytes():
            return path.parent
    raise AssertionError("the demo is not there")


def taken(process: Path) -> tuple[float, int]:
    """Return the resident memory in MB, and the number of open descriptors."""
    status = (process / "status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000, len(list((process / "fd").iterdir()))


async def visit(client: httpx.AsyncClient, number: int, function: dict[str, int]) -> None:
    """Open the page's session, call once, take the answer, and leave."""
    session = f"visitor-{number}"
    async with client.stream("GET", f"/gradio_api/heartbeat/{session}") as heart:
        await anext(heart.aiter_lines())
        call = {"fn_index": function["id"], "data": [], "event_data": None, "session_hash": session}
        assert (await client.post("/gradio_api/queue/join", json=call)).status_code == 200
        async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            async for line in stream.aiter_lines():
                if "process_completed" in line:
                    assert json.loads(line[6:])["success"]
                    break


async def visits(server: str, numbers: range) -> None:
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server, timeout=60, trust_env=False, limits=limits) as client:
        config = (await client.get("/config")).json()
        (function,) = (one for one in config["dependencies"] if one["api_name"] == "forget")
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with turns:
                await visit(client, number, function)

        await asyncio.gather(*map(one, numbers))


@pytest.mark.slow
def test_sessions_that_come_and_go_leave_nothing(server: str) -> None:
    process = server_process(server)
    asyncio.run(visits(server, range(VISITS // 4)))  # caches fill
    memory, descriptors = taken(process)
    asyncio.run(visits(server, range(VISITS // 4, VISITS)))
    later, open_later = taken(process)
    print(f"{VISITS} visits: {memory:.0f} to {later:.0f} MB, {descriptors} to {open_later} descriptors")
    assert later - memory < 50
    end = time.monotonic() + 60
    while taken(process)[1] > descriptors:  # connections that are just being closed
        assert time.monotonic() < end
        time.sleep(0.1)


async def flood(server: str) -> list[int]:
    """Send 100 calls at once, wait for those that were taken, and return the statuses."""
    async with httpx.AsyncClient(base_url=server, timeout=60, trust_env=False) as client:
        config = (await client.get("/config")).json()
        (function,) = (one for one in config["dependencies"] if one["api_name"] == "relate_all")
        value = {one["id"]: one["props"].get("value") for one in config["components"]}
        data = [value[number] for number in function["inputs"]]

        async def one(number: int) -> int:
            session = f"flood-{number}"
            call = {"fn_index": function["id"], "data": data, "event_data": None, "session_hash": session}
            joined = await client.post("/gradio_api/queue/join", json=call)
            if joined.status_code == 200:
                async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
                    async for line in stream.aiter_lines():
                        if "process_completed" in line:
                            return 200 if json.loads(line[6:])["success"] else 500
            return joined.status_code

        return list(await asyncio.gather(*map(one, range(100))))


@pytest.mark.slow
def test_a_hundred_calls_at_once_and_then_one(server: str) -> None:
    statuses = asyncio.run(flood(server))
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= page.QUEUE_LENGTH
    asyncio.run(visits(server, range(10_000, 10_001)))
