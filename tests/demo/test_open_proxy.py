"""The demo opens no address that a visitor names: other hosts, in a network namespace, wait in vain to be asked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import proxy_probe
import pytest

from conftest import REPOSITORY, need
from rrzoo.demo.door import routes

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]  # of the namespace alone
NAMESPACE = ["unshare", "--net", "--mount"]


def inside(hosts: Path, *command: str) -> list[str]:
    """Return a command that runs in a network of its own, where this machine has addresses of the wide world, too."""
    prepare = f"ip link set lo up && ip addr add {PUBLIC[0]}/32 dev lo && ip addr add {PUBLIC[1]}/128 dev lo"
    return [*NAMESPACE, "sh", "-c", f'{prepare} && mount --bind {hosts} /etc/hosts && exec "$@"', "sh", *command]


@pytest.mark.slow
def test_no_request_reaches_another_host(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{PUBLIC[0]} {proxy_probe.NAME}\n{PUBLIC[1]} {proxy_probe.NAME}\n")
    can = shutil.which("unshare") and shutil.which("ip")
    need(bool(can) and subprocess.run(inside(hosts, "true"), check=False).returncode == 0, "a network namespace")
    environment = os.environ | {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}:{REPOSITORY / 'tests' / 'demo'}",
        "GRADIO_TEMP_DIR": str(tmp_path / "files"),
    }
    command = inside(hosts, sys.executable, proxy_probe.__file__, *PUBLIC)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["reached"] == []
    assert len(result["gets"]) > 1000
    # "file=http:/host" and the like are no paths of the server, and paths that lead elsewhere are not given out
    assert {target: status for target, status in result["gets"].items() if status not in (400, 404)} == {}
    assert set(result["heads"]) <= {400, 404}
    assert set(result["named"]) <= {"error", "400"}
    assert set(result["page"]) <= {400, 404}
    assert (result["forged"], result["alive"]) == (200, 200)
    assert "Traceback" not in result["log"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/component_server"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "/gradio_api/proxy=https://a.hf.space/"),
        ("POST", "/gradio_api/upload/"),
        ("POST", "/gradio_api/call/upload/x"),
        ("PUT", "/gradio_api/upload"),
        ("OPTIONS", "/gradio_api/queue/join"),
        ("GET", "/monitoring"),
        ("GET", "/assets/../app.py"),
        ("GET", "/assets/.env"),
        ("GET", "/static//etc/passwd"),
        ("GET", "/gradio_api/file=http://a/"),
        ("GET", "/gradio_api/heartbeat/a"),
        ("GET", "/gradio_api/call/embed/" + "A" * 32),
        ("GET", "/gradio_api/mcp/"),
        ("get", "/"),
        ("GET", "/\n"),
        ("GET", "/config\n"),
    ],
)
def test_what_the_page_does_not_need_has_no_route(method: str, path: str) -> None:
    assert routes.find(method, path) is None


def test_the_documentation_lists_every_route() -> None:
    assert routes.table() in (REPOSITORY / "SECURITY.md").read_text()
