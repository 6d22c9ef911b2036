"""Kernels where no cache folder can be written to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import rrzoo


def test_kernels_load_from_a_read_only_installation(tmp_path: Path):
    package = tmp_path / "rrzoo"
    shutil.copytree(Path(rrzoo.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "models"))
    (package / "kernels" / "__pycache__").write_bytes(b"")  # not a folder: so nobody can write there, not even root
    nowhere = tmp_path / "file"
    nowhere.write_bytes(b"")
    names = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    environment = {**os.environ, **dict.fromkeys(names, f"{nowhere}/x"), "PYTHONPATH": str(tmp_path)}
    code = "import rrzoo.kernels.views, rrzoo.kernels.relation, os; print(os.environ['NUMBA_CACHE_DIR'])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "set NUMBA_CACHE_DIR to a folder" in result.stderr
    assert "rrzoo-numba-" in result.stdout
    assert not Path(result.stdout.strip()).exists()  # it is deleted in the end
