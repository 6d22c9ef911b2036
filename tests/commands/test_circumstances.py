"""rrzoo where the process, not the arguments, is odd: no HOME, another umask, locale, dtype, mode; no output."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rrzoo
from conftest import REPOSITORY

USE = """
from pathlib import Path
import numpy as np
import rrzoo
from rrzoo.store.save import save
model = rrzoo.load("conv4-cifar10")
picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
probabilities, relation, features = model.classify(picture), model.relate(picture, picture), model.embed([picture] * 3)
assert {one.dtype for one in (probabilities, relation, features)} == {np.dtype(np.float32)}
assert len(model.gallery().search(picture, 3, True)[0]) == 3
place = Path("where it is")
rrzoo.Gallery.from_images(model, [picture, picture[::-1]]).save(place / "g")
assert rrzoo.Gallery.load(model, place / "g").search(picture, 1)[0][0].source == "1"
save(model, place / "copy")
np.testing.assert_allclose(rrzoo.load(f"dir:{place / 'copy'}").classify(picture), probabilities, atol=1e-6)
print(f"{probabilities[0, 0]:.4f}")
"""
SEARCH = ["-m", "rrzoo", "search", str(REPOSITORY / "docs" / "pictures" / "horse.png"), "--model", "conv4-cifar10"]
ODD: dict[str, tuple[list[str], dict[str, str | None], str]] = {  # options of Python, environment, code before
    "no HOME": ([], {"HOME": None}, ""),
    "umask 077": ([], {}, "import os; os.umask(0o77)"),
    "locale C": ([], {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ""),
    "no asserts, no docstrings": (["-OO"], {}, ""),
    "warnings are errors": (["-W", "error"], {}, ""),
    "64 threads": ([], {"OMP_NUM_THREADS": "64"}, ""),
    "float64": ([], {}, "import torch; torch.set_default_dtype(torch.float64)"),
    "inference mode": ([], {}, "import torch; torch.inference_mode().__enter__()"),
}


def run(
    arguments: list[str], folder: Path, environment: dict[str, str | None], **streams: object
) -> "tuple[int, str, str]":
    whole = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    kept = {name: value for name, value in whole.items() if value is not None}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=kept, text=True, check=False, timeout=200, **pipes
    )
    return done.returncode, done.stdout or "", done.stderr or ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_model_answers_as_always(name: str, tmp_path: Path, model: rrzoo.Model) -> None:
    options, environment, before = ODD[name]
    status, out, err = run([*options, "-c", f"{before}\n{USE}"], tmp_path, environment)
    assert (status, err) == (0, "")
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    assert float(out) == pytest.approx(model.classify(picture)[0, 0], abs=2e-4)


@pytest.mark.slow
def test_a_folder_with_umlauts_and_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "Möwen & mehr"
    folder.mkdir()
    environment = {"RRZOO_ZOO": str(folder / "zoo"), "RRZOO_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    status, out, err = run(["-c", USE.replace("where it is", "wo's ist")], folder, dict(environment))
    assert (status, err) == (0, ""), out


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str, tmp_path: Path) -> None:
    command = " ".join([sys.executable, *SEARCH, closed])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", [None, "1"])
def test_a_full_disk_behind_the_output_is_one_line(tmp_path: Path, unbuffered: str | None) -> None:
    with Path("/dev/full").open("w") as full:
        status, _, err = run(SEARCH, tmp_path, {"PYTHONUNBUFFERED": unbuffered}, stdout=full)
    assert status == 2
    assert err.splitlines() == [
        "error: the output can't be written (No space left on device): make room, or send it elsewhere"
    ]
