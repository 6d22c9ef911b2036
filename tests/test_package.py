"""What is shipped: the wheel works elsewhere, and the README says what is so."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import rrzoo
from conftest import REPOSITORY
from rrzoo import zoo
from rrzoo.store import evaluation_file, model_folder

README = (REPOSITORY / "README.md").read_text()


def test_the_wheel_works_elsewhere(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run([*pip, *build], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("rrzoo-*.whl")
    assert wheel.stat().st_size < 20_000_000
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


@pytest.mark.parametrize("name", sorted(path.name for path in zoo.SHIPPED.iterdir()))
def test_the_readmes_table_is_what_was_measured(name: str) -> None:
    folder = zoo.SHIPPED / name
    measured = evaluation_file.own(folder, model_folder.read_config(folder))
    assert measured is not None
    assert measured.untrained is not None
    (row,) = re.findall(rf"^\| `{name}` .*$", README, re.MULTILINE)
    for value in (
        measured.linear_probe,
        measured.knn["20"],
        measured.untrained.random_weights_linear_probe,
        measured.untrained.raw_pixels_linear_probe,
    ):
        assert f"{100 * value:.2f}" in row
    auc = f"{measured.relation.auc_same_image:.3f}" if measured.relation else "-"  # without a relation head
    assert f"| {auc} |" in row


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from rrzoo import datasets

    monkeypatch.chdir(tmp_path)
    clay = datasets.load("clay10", "test").images
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(["photo.jpg", "other.jpg", "photos/a.jpg", "photos/b.jpg"]):
        Image.fromarray(clay[100 * number]).save(tmp_path / name)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        if "gradio_client" not in block:  # those ask a running demo: test_demo.py
            exec(block, {})


def test_the_readmes_commands_exist() -> None:
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in re.findall(r"(?:scripts/\w+|app)\.py", README):
        assert (REPOSITORY / script).exists(), script


def test_versions_agree() -> None:
    assert f'version = "{rrzoo.__version__}"' in (REPOSITORY / "pyproject.toml").read_text()
