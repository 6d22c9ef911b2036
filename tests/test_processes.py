"""Several processes at once: forked workers of one that has a model loaded, and those that write to one place."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import REPOSITORY, run_python, smooth_image
from rrzoo.datasets import cache
from rrzoo.store import model_folder
from rrzoo.store.load import load

FORK = """
import os, signal
import numpy as np, torch, rrzoo
from rrzoo.kernels import conv4
torch.set_num_threads(2)
model = rrzoo.load("conv4-cifar10")
gallery = model.gallery()
pictures = [np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)] * 64
numbers = torch.rand(1500, 1500)
def use():
    numbers @ numbers
    return model.embed(pictures), gallery.search(pictures[0], 3, True)[0][0].source
conv4.fast(model.backbone)(torch.rand(64, 3, 32, 32))
features, source = use()
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        signal.alarm(100)
        again, found = use()
        os._exit(0 if np.allclose(again, features, atol=1e-5) and found == source else 3)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
assert np.allclose(use()[0], features, atol=1e-6)
"""


@pytest.mark.slow
def test_forked_workers_compute_what_their_parent_does() -> None:
    run_python(FORK)


@pytest.mark.slow
def test_two_indexers_and_a_reader(model: rrzoo.Model, tmp_path: Path, random: np.random.Generator) -> None:
    """One of them may be told to wait; whoever reads meanwhile finds a whole gallery."""
    photos, saved = tmp_path / "photos", tmp_path / "g"
    photos.mkdir()
    for number in range(60):
        Image.fromarray(smooth_image(random, 40, 50)).save(photos / f"{number}.png")
    rrzoo.Gallery.build(model, photos).save(saved)
    code = (
        "import sys, rrzoo\\nfrom rrzoo import errors\\nmodel = rrzoo.load('conv4-cifar10')\\n"
        "for _ in range(15):\\n try: rrzoo.Gallery.build(model, sys.argv[1]).save(sys.argv[2])\\n"
        " except errors.GalleryError as problem: assert 'another process is writing' in str(problem)"
    ).replace("\\n", "\n")
    command = [sys.executable, "-c", code, str(photos), str(saved)]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "OMP_WAIT_POLICY": "passive"}
    writers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        assert len(rrzoo.Gallery.load(model, saved)) == 60
        reads += 1
    for writer in writers:
        assert writer.communicate()[1] == ""
        assert writer.returncode == 0
    assert reads > 10
    assert sum(path.name.startswith("features") for path in saved.iterdir()) == 1


START = """
import sys, time
from pathlib import Path
import rrzoo
from rrzoo import errors
from rrzoo.store.load import load
from rrzoo.store.save import save
model = load(Path({old!r}))
place, go = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
while not go.exists():
    time.sleep(0.005)
try:
    {what}
    print("done", flush=True)
except errors.RRZooError as problem:
    print(problem, flush=True)
"""
OLD = REPOSITORY / "tests" / "fixtures" / "0.1.0" / "conv4-cifar10-relation"


def at_once(what: str, place: Path, count: int) -> list[str]:
    """Run code in some processes, all starting at the same time; return the line that each says at its end."""
    place.parent.mkdir(exist_ok=True)
    go = place.with_name("go")
    command = [sys.executable, "-c", START.format(old=str(OLD), what=what), str(place), str(go)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "passive"}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    ends = []
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        go.touch()
        for process in processes:
            out, complaints = process.communicate(timeout=200)
            assert (process.returncode, complaints) == (0, "")
            ends.append(out.strip())
    finally:
        for process in processes:
            process.kill()
        go.unlink(missing_ok=True)
    return ends


@pytest.mark.slow
def test_exports_of_one_name(tmp_path: Path) -> None:
    """One writes the folder; the others say that it is there, and leave nothing behind."""
    for number in range(3):
        place = tmp_path / "zoo" / str(number)
        ends = at_once("save(model, place)", place, 3)
        assert ends.count("done") == 1
        others = [end for end in ends if end != "done"]
        assert others == [f"{place} is already there: move it away, or export to another place"] * 2
        assert model_folder.altered(place) == []
    assert sorted(path.name for path in (tmp_path / "zoo").iterdir()) == ["0", "1", "2"]


@pytest.mark.slow
def test_indexers_of_one_folder(tmp_path: Path, random: np.random.Generator) -> None:
    """They don't mix what they write, also where each goes on from what the others have left unfinished."""
    photos, saved = tmp_path / "photos", tmp_path / "g"
    photos.mkdir()
    for number in range(40):
        Image.fromarray(smooth_image(random, 40, 50)).save(photos / f"{number:02}.png")
    ends = at_once(f"rrzoo.Gallery.index_folder(model, {str(photos)!r}, place)", saved, 3)
    assert "done" in ends
    assert all(end == "done" or "another process is writing" in end for end in ends)
    gallery = rrzoo.Gallery.load(load(OLD), saved)
    assert list(gallery.sources) == [f"{number:02}.png" for number in range(40)]
    assert [path.name for path in saved.rglob("*") if "unfinished" in path.name] == []


@pytest.mark.slow
def test_decoders_of_one_folder(tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    for number in range(40):
        Image.fromarray(smooth_image(random, 40, 50)).save(tmp_path / "photos" / f"{number:02}.png")
    what = "from rrzoo import datasets; assert len(datasets.load(f'dir:{place}')) == 40"
    assert at_once(what, tmp_path / "photos", 3) == ["done"] * 3
    (entry,) = (tmp_path / "cache").iterdir()
    assert cache._open(entry) is not None
