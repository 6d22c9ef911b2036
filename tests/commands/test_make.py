"""make demo says what it will install, and takes torch from where it is told; a stub stands for Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import REPOSITORY

STUB = """#!/bin/sh
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$0" .venv/bin/rrzoo ;;
  -c*) exit 0 ;;
esac
echo "$(basename "$0") $*" >> calls
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "stub").write_text(STUB)
    (tmp_path / "stub").chmod(0o755)
    return tmp_path


def make(clone: Path, *arguments: str) -> tuple[str, list[str]]:
    """Return what make prints, and how Python was called after the virtual environment was there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "PYTHON=./stub", *arguments]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=True)
    _, *calls = (clone / "calls").read_text().splitlines()
    return done.stdout, calls


def test_it_says_what_it_takes_and_shows_progress(clone: Path) -> None:
    printed, calls = make(clone, "demo")
    assert "about 6 GB" in printed.partition("-m venv")[0]
    assert f"{clone}/.venv" in printed
    assert "TORCH_INDEX=" in printed
    install, own, demo = calls
    assert install.endswith("--require-hashes --requirement requirements.lock")
    assert own.endswith("--no-deps --editable .")
    assert "--quiet" not in install + own
    assert demo == "rrzoo demo"


def test_torch_comes_from_another_index_first(clone: Path) -> None:
    printed, calls = make(clone, "demo", "TORCH_INDEX=https://example.org/cpu")
    assert "torch from https://example.org/cpu" in printed
    torch, others, _ = calls
    pins = [line for line in (clone / "requirements.txt").read_text().splitlines() if line.startswith("torch")]
    assert torch.endswith(f"install {' '.join(pins)} --index-url https://example.org/cpu")
    assert "--index-url" not in others
