"""In a clone without the package installed, `pip install -r requirements.txt` is enough for scripts and demo."""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import REPOSITORY

SCRIPTS = ("bench", "compare", "curve", "evaluate", "import_checkpoint", "load_demo", "publish", "train")


def test_scripts_find_the_package_of_their_clone(tmp_path: Path) -> None:
    for folder in ("rrzoo", "scripts"):
        unneeded = shutil.ignore_patterns("__pycache__", "models", "*.webp")
        shutil.copytree(REPOSITORY / folder, tmp_path / "clone" / folder, ignore=unneeded)
    # -S: no .pth files, which an editable installation needs to be found
    command = [sys.executable, "-S", "-c", "import sys, train, evaluate, publish, rrzoo; print(rrzoo.__file__)"]
    packages = [path for path in sys.path if path.endswith("site-packages")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "clone" / "scripts"), *packages])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{tmp_path / 'clone' / 'rrzoo' / '__init__.py'}\n", done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_a_main_that_takes_its_arguments(name: str) -> None:
    parameters = inspect.signature(importlib.import_module(name).main).parameters
    assert list(parameters) == ["argv"]


def test_the_lock_holds_every_pin_and_hashes_of_all() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    locked = re.findall(
        r"^([\w.-]+==[\w.]+)(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    entries = [line for line in text.splitlines() if line and line[0] not in "# "]
    assert len(locked) == len(entries) > 50
    pins = {
        line.replace("_", "-") for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if "==" in line
    }
    assert pins <= {pin for pin, _ in locked}, "run make lock"


def test_requirements_pin_what_demo_and_training_need() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lists = project["dependencies"], extras["demo"], extras["train"], extras["timm"]
    needed = {re.split(r"[<>=\[]", line)[0] for lines in lists for line in lines}
    lines = [line for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert {line.partition("==")[0] for line in lines} == needed
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines)
