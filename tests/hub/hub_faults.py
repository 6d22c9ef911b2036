"""Print what a user sees, and after how many seconds, when the Hub or the network fails: python tests/hub/hub_faults.py

Each load is a process of its own with an empty cache and huggingface_hub as it is installed; seconds count from the
call of rrzoo.load to its end, so they include the import of huggingface_hub. The last lines are loads that work.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from hub_server import HubServer, Repository

from rrzoo import zoo

NAME = "me/conv4-cifar10"
SHIPPED = zoo.SHIPPED / "conv4-cifar10"
FILES = {path.relative_to(SHIPPED).as_posix(): path.read_bytes() for path in SHIPPED.rglob("*") if path.is_file()}
LOAD = """
import sys, time, rrzoo
started = time.perf_counter()
try:
    rrzoo.load(sys.argv[1])
    said = "loaded"
except rrzoo.errors.RRZooError as problem:
    said = f"{type(problem).__name__}: {problem}"
print(f"{time.perf_counter() - started:.2f}", said)
"""


def load(name: str, url: str, home: str, **environment: str) -> str:
    """Load a model in a new process; return seconds and what was said."""
    variables = {"HF_ENDPOINT": url, "HF_HOME": home, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "RRZOO_ZOO": home + "/zoo"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, name],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout or done.stderr.strip().splitlines()[-1]).strip()


def everywhere(attribute: str, value: object) -> Callable[[HubServer, Repository], None]:
    """Return what sets a switch of the server."""
    return lambda server, repository: setattr(server, attribute, value)


def cut_for_ever(server: HubServer, repository: Repository) -> None:
    """Break every download of weights off."""
    server.cuts = 1000
    repository.commit({**FILES, "model.safetensors": FILES["model.safetensors"] + bytes(2_000_000)})


HUB = f"hub:{NAME}"
FAULTS: dict[str, tuple[str, Callable[[HubServer, Repository], None], dict[str, str]]] = {
    "no network": ("conv4-clay10", lambda server, repository: server.close(), {"RRZOO_HUB_OWNER": "me"}),
    "no network, no owner set": ("conv4-clay10", lambda server, repository: server.close(), {}),
    "silent network": ("conv4-clay10", everywhere("silent", True), {"RRZOO_HUB_OWNER": "me"}),
    "a network that wants a login": (HUB, everywhere("page", True), {}),
    "HF_HUB_OFFLINE": (HUB, everywhere("page", False), {"HF_HUB_OFFLINE": "1"}),
    "no such repository": ("hub:me/none", everywhere("page", False), {}),
    "no such revision": (f"{HUB}@v9", everywhere("page", False), {}),
    "gated": (HUB, lambda server, repository: setattr(repository, "gated", True), {}),
    "private, no token": (HUB, lambda server, repository: setattr(repository, "private", True), {}),
    "wrong token": (HUB, everywhere("page", False), {"HF_TOKEN": "hf_wrong"}),
    "the Hub is down (503)": (HUB, everywhere("status", 503), {}),
    "cut once": (HUB, everywhere("cuts", 1), {}),
    "always cut": (HUB, cut_for_ever, {}),
    "silent before the weights": (HUB, everywhere("stalls", "HEAD"), {}),
    "silent in the middle of the weights": (HUB, everywhere("stalls", "GET"), {}),
    "a bit of the weights is another": (HUB, everywhere("flip", True), {}),
}


def main() -> None:
    """Print one line for each fault, then the times of loads that work."""
    for fault, (name, break_it, environment) in FAULTS.items():
        server = HubServer()
        break_it(server, server.add(NAME, FILES))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            print(f"{fault:<38}{load(name, server.url, home, **environment)}", flush=True)
        server.close()
    server = HubServer()
    server.add(NAME, FILES)
    with tempfile.TemporaryDirectory() as home:
        print(f"{'from the package':<38}{load('conv4-cifar10', server.url, home)}")
        print(f"{'from the Hub':<38}{load(HUB, server.url, home)}")
        asked = len(server.requests)
        print(f"{'from the cache':<38}{load(HUB, server.url, home)}; {len(server.requests) - asked} requests")
    server.close()
    with tempfile.TemporaryDirectory() as home:
        print(f"{'from the package, without a network':<38}{load('conv4-cifar10', server.url, home)}")


if __name__ == "__main__":
    main()
