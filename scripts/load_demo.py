"""Let many visitors use a demo at once and print how long they wait. Only servers of this machine are asked.

    python scripts/load_demo.py --visitors 20 --seconds 180

starts app.py on a free port; --url names a running one. Exit status 1: errors, a p95 or a growth above the limits.
"""

import argparse
import asyncio
import io
import json
import random
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image

ACTIONS = {"search": 4, "classify": 3, "relate": 2, "embed": 1}  # how often, relative to each other
WARM_UP = 20.0  # seconds before anything is counted: threads, their memory and caches come up
BUSY = ("Queue is full", "busy")
P95 = 1.0  # seconds
GROWTH = 100.0  # MB
HERE = ("127.0.0.1", "localhost", "::1")


@dataclass
class Tally:
    """How the calls of one action ended."""

    seconds: list[float] = field(default_factory=list)  # of the calls that were answered
    busy: int = 0
    errors: list[str] = field(default_factory=list)


def pictures(count: int = 30) -> list[bytes]:
    """Return JPEG photographs of noise in colours, from thumbnails to 12 million pixels."""
    generator = np.random.default_rng(0)
    files = []
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        side = (320, 1024, 2000, 4000)[min(number % 10 // 3, 3)]
        file = io.BytesIO()
        coarse.resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
        files.append(file.getvalue())
    return files


async def ask(client: httpx.AsyncClient, action: str, files: list[bytes]) -> None:
    """Upload what an action needs, call it, and wait for its answer.

    Raises:
        RuntimeError: the server answers with an error; the message is the server's.
    """
    uploaded = await client.post(
        "/gradio_api/upload", files=[("files", (f"{i}.jpg", file)) for i, file in enumerate(files)]
    )
    if uploaded.status_code != 200:
        raise RuntimeError(f"upload: {uploaded.status_code} {uploaded.text[:200]}")
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in uploaded.json()]
    joined = await client.post(f"/gradio_api/call/{action}", json={"data": data})
    if joined.status_code != 200:
        raise RuntimeError(f"{action}: {joined.status_code} {joined.text[:200]}")
    answer = await client.get(f"/gradio_api/call/{action}/{joined.json()['event_id']}")
    last = answer.text.rpartition("event: ")[2]
    if not last.startswith("complete"):
        raise RuntimeError(f"{action}: {last[:200]}")
    json.loads(last.partition("data: ")[2])


async def visitor(
    url: str, seed: int, until: float, pause: float, files: list[bytes], tallies: dict[str, Tally]
) -> None:
    """Act, look at the answer for a while, and act again."""
    chance = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        await asyncio.sleep(chance.uniform(0, max(pause, 0.1)))
        while time.perf_counter() < until:
            (action,) = chance.choices([*ACTIONS], [*ACTIONS.values()])
            chosen = chance.sample(files, 2 if action == "relate" else 1)
            start = time.perf_counter()
            try:
                await ask(client, action, chosen)
                tallies[action].seconds.append(time.perf_counter() - start)
            except (RuntimeError, httpx.HTTPError, ValueError) as problem:
                message = str(problem) or type(problem).__name__
                if any(word in message for word in BUSY):
                    tallies[action].busy += 1
                else:
                    tallies[action].errors.append(message)
            await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)


def memory(pid: int | None) -> float:
    """Return the resident memory of a process in MB, nan where it is not known."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


@contextmanager
def running_demo():
    """Run app.py on a free port; give its address, its process and the seconds until the page was up."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    app = Path(__file__).parent.parent / "app.py"
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(app), "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                if process.poll() is not None:
                    sys.exit(2)  # the demo itself said why
                time.sleep(0.05)
        print(f"page up after {time.perf_counter() - start:.1f} s")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(20)


def table(tallies: dict[str, Tally]) -> float:
    """Print how the visitors fared; return the 95th percentile of all calls, in seconds."""
    print(f"{'action':<10}{'calls':>7}{'p50':>8}{'p95':>8}{'max':>8}{'busy':>6}{'errors':>8}   (seconds)")
    everything = Tally()
    for tally in tallies.values():
        everything.seconds += tally.seconds
        everything.busy += tally.busy
        everything.errors += tally.errors
    for name, tally in [*((action, tallies[action]) for action in ACTIONS), ("all", everything)]:
        seconds = np.array(tally.seconds or [np.nan])
        calls = len(tally.seconds) + tally.busy + len(tally.errors)
        p50, p95 = np.percentile(seconds, [50, 95])
        print(f"{name:<10}{calls:>7,}{p50:>8.2f}{p95:>8.2f}{seconds.max():>8.2f}{tally.busy:>6}{len(tally.errors):>8}")
    for message in sorted(set(everything.errors))[:5]:
        print(f"error: {message}")
    return float(np.percentile(everything.seconds or [np.inf], 95))


async def run(options: argparse.Namespace, url: str, pid: int | None) -> bool:
    """Send the visitors; return whether all stayed within the limits."""
    files, tallies = pictures(), defaultdict(Tally)
    start = time.perf_counter()
    visits = [
        visitor(url, seed, start + WARM_UP + options.seconds, options.pause, files, tallies)
        for seed in range(options.visitors)
    ]
    everyone = asyncio.gather(*visits)
    await asyncio.sleep(WARM_UP)
    warm = memory(pid)
    tallies.clear()
    await everyone
    p95 = table(tallies)
    after = memory(pid)
    print(f"memory: {warm:,.0f} MB after {WARM_UP:.0f} s, {after:,.0f} MB after {WARM_UP + options.seconds:.0f} s")
    failed = any(tally.errors for tally in tallies.values())
    return not failed and p95 <= P95 and not after - warm > GROWTH


def main(argv: Sequence[str] | None = None) -> None:
    """Send the visitors; SystemExit says with which status it ends, if not with 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", metavar="N", type=int, default=20, help="at once (20)")
    parser.add_argument("--seconds", metavar="T", type=float, default=180, help="after 20 s of warming up (180)")
    parser.add_argument(
        "--pause", metavar="S", type=float, default=2, help="seconds between an answer and the next action (2)"
    )
    parser.add_argument("--url", help="a running demo of this machine, instead of one that is started")
    parser.add_argument("--pid", type=int, help="process of --url, whose memory is looked at")
    options = parser.parse_args(argv)
    if options.url and urlsplit(options.url).hostname not in HERE:
        parser.exit(2, f"error: {options.url} is not on this machine: name an address of 127.0.0.1\n")
    if options.url:
        within_limits = asyncio.run(run(options, options.url, options.pid))
    else:
        with running_demo() as (url, pid):
            within_limits = asyncio.run(run(options, url, pid))
    if not within_limits:
        sys.exit(1)


if __name__ == "__main__":
    main()
