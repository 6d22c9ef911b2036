"""What is shipped: the wheel works elsewhere, and versions are said alike everywhere."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import rrzoo
from conftest import REPOSITORY


def test_the_wheel_works_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # pip would take this clone for an installed package
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run([*pip, *build], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("rrzoo-*.whl")
    assert wheel.stat().st_size < 50_000_000  # two galleries over STL-10 take 15 MB, three models 14
    venv.create(tmp_path / "elsewhere", with_pip=False)
    python = tmp_path / "elsewhere" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True, cwd=tmp_path)
    # torch and the others come from this environment: installing them anew would take minutes
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    code = f"""
import sys
sys.path += {packages.split(os.pathsep)!r}
import numpy as np, rrzoo
model = rrzoo.load("conv4-cifar10")
print(rrzoo.__file__, len(model.gallery().search(np.zeros((9, 9, 3), np.uint8), 3)[0]))
"""
    done = subprocess.run([python, "-I", "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True)
    where, found = done.stdout.split()
    assert str(tmp_path / "elsewhere") in where
    assert found == "3"
    # the console command, without torch or anything else
    command = [tmp_path / "elsewhere" / "bin" / "rrzoo", "--version"]
    assert subprocess.check_output(command, cwd=tmp_path, text=True) == f"rrzoo {rrzoo.__version__}\n"


def test_versions_agree() -> None:
    assert f'version = "{rrzoo.__version__}"' in (REPOSITORY / "pyproject.toml").read_text()
