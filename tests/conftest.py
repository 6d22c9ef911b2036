"""What the tests share: isolated folders, small synthetic data, and a way to say what a test needs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo

REPOSITORY = Path(__file__).parent.parent
REAL_DATA = Path(os.environ.get("RRZOO_DATA") or "~/.cache/rrzoo/data").expanduser()
REAL_CACHE = Path(os.environ.get("RRZOO_CACHE") or "~/.cache/rrzoo/decoded").expanduser()
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def need(available: bool, what: str) -> None:
    """Skip the test if `what` is not there; in CI, where everything has to be there, fail it."""
    if not available:
        if os.environ.get("CI"):
            pytest.fail(f"in CI {what} is needed")
        pytest.skip(f"needs {what}")


def run_python(code: str, **environment: str) -> str:
    """Run code in a process of its own, with rrzoo at hand, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the data, cache and zoo of whoever runs it."""
    for variable, folder in {"RRZOO_DATA": "data", "RRZOO_CACHE": "cache", "RRZOO_ZOO": "zoo"}.items():
        monkeypatch.setenv(variable, str(tmp_path / folder))


@pytest.fixture(scope="session")
def model() -> rrzoo.Model:
    """The model that ships with the package."""
    return rrzoo.load("conv4-cifar10")


@pytest.fixture
def real_cifar10(monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's photographs."""
    need((REAL_DATA / "cifar10" / "test").is_dir(), f"CIFAR-10's images in {REAL_DATA}/cifar10")
    monkeypatch.setenv("RRZOO_DATA", str(REAL_DATA))
    monkeypatch.setenv("RRZOO_CACHE", str(REAL_CACHE))
    return REAL_DATA


@pytest.fixture
def random() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(7)


def smooth_image(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return uint8 (height, width, 3) that looks more like a picture than noise does."""
    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def write_cifar10(root: Path, per_class: int, suffix: str = "png") -> Path:
    """Write a tree of synthetic images in CIFAR-10's layout; the class shows in the colour."""
    random = np.random.default_rng(3)
    for split in ("train", "test"):
        for number, name in enumerate(CIFAR10_CLASSES):
            folder = root / "cifar10" / split / name
            folder.mkdir(parents=True)
            for index in range(per_class):
                image = smooth_image(random, 32, 32) // 2
                image[..., number % 3] += np.uint8(12 * number)
                Image.fromarray(image).save(folder / f"{index:04}.{suffix}")
    return root
