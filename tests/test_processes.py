"""Several processes at once: forked workers of one that has a model loaded, indexers of one folder, and a reader."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import REPOSITORY, run_python, smooth_image

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
