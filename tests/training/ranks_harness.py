"""Several ranks on one CPU: processes that meet by gloo, whose exit codes and time are read."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outcome:
    """What became of a rank: its exit status, negative if a signal ended it, and all that it said."""

    status: int
    said: str


def start(count: int, code: str, *arguments: object) -> list[subprocess.Popen]:
    """Start ranks that run `code` with the arguments, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    common |= {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS), str(Path(__file__).parent)])}
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def wait(ranks: list[subprocess.Popen], seconds: float) -> list[Outcome]:
    """Return what became of ranks, all of which have to end in time; those that don't are killed, and fail the test."""
    until, outcomes = time.monotonic() + seconds, []
    try:
        for rank in ranks:
            said, _ = rank.communicate(timeout=max(0.1, until - time.monotonic()))
            outcomes.append(Outcome(rank.returncode, said))
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return outcomes


def run(count: int, code: str, *arguments: object, seconds: float = 300) -> None:
    """Run ranks that have to succeed; raise what the first that failed said."""
    for rank, outcome in enumerate(wait(start(count, code, *arguments), seconds)):
        assert outcome.status == 0, f"rank {rank} ended with {outcome.status}:\n{outcome.said}"
