"""scripts/load_demo.py: a few visitors for a second, and no host but this one."""

from collections.abc import Callable

import pytest

import load_demo
from conftest import Outcome


def test_visitors_are_answered(
    server: str, run_script: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_demo, "WARM_UP", 0.5)  # seconds
    monkeypatch.setattr(load_demo, "P95", 60)  # seconds: the machine may be busy
    status, out, err = run_script("load_demo", "--url", server, "--visitors", "2", "--seconds", "1.5", "--pause", "0.1")
    assert (status, err) == (0, "")
    calls, errors = out.partition("all ")[2].split("\n")[0].split()[::5]
    assert int(calls) > 2
    assert errors == "0"


def test_other_hosts_are_left_alone(run_script: Callable[..., Outcome]) -> None:
    status, _, err = run_script("load_demo", "--url", "http://example.org:80")
    assert status == 2
    assert "is not on this machine" in err
