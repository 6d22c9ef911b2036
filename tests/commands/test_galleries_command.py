"""What commands say of galleries: pictures that were left out, and whether files are whole."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import zoo


@pytest.fixture
def photos(tmp_path: Path, random: np.random.Generator) -> Path:
    """Three pictures, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(smooth_image(random, 40, 40)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_search_says_what_it_left_out_of_a_folder(
    run_command: Callable[..., Outcome], model: rrzoo.Model, photos: Path
) -> None:
    done = run_command("search", str(photos / "0.png"), "--model", model.name, "--gallery", str(photos), "--json")
    assert done.status == 0
    assert done.out.startswith("[")  # nothing but JSON
    assert "1 images could not be read and are left out:" in done.err
    assert "broken.jpg" in done.err


def test_verify_checks_a_gallery(run_command: Callable[..., Outcome], model: rrzoo.Model, photos: Path) -> None:
    assert run_command("index", str(photos), "--model", model.name).status == 0
    saved = zoo.gallery_folder(model.name, "photos")
    for named in ("photos", str(saved)):
        done = run_command("verify", model.name, "--gallery", named)
        assert (done.status, "3 rows of the gallery in" in done.out) == (0, True)
    path = saved / "thumbnails-1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = run_command("verify", model.name, "--gallery", "photos")
    assert done.status == 2
    assert "thumbnails-1.safetensors is not the file that manifest.json lists" in done.err
    assert run_command("verify", model.name, "--gallery", "none").status == 2


def test_verify_reads_the_gallery_of_a_model(run_command: Callable[..., Outcome], model: rrzoo.Model) -> None:
    assert "1,000 rows of the gallery in" in run_command("verify", model.name).out
