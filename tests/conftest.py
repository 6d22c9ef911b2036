"""What the tests share: isolated folders, small synthetic data, and a way to say what a test needs."""

import contextlib
import functools
import importlib
import importlib.util
import io
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

import rrzoo
from rrzoo import commands, datasets
from rrzoo.datasets import stl10
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.datasets.dataset import Decoding, Record
from rrzoo.gallery.pictures import NoPictures
from rrzoo.gallery.rows import Rows, Split
from rrzoo.store.save import save

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

REPOSITORY = Path(__file__).parent.parent
REAL_DATA = Path(os.environ.get("RRZOO_DATA") or "~/.cache/rrzoo/data").expanduser()
REAL_CACHE = Path(os.environ.get("RRZOO_CACHE") or "~/.cache/rrzoo/decoded").expanduser()
# What is logged where leaving a page, or a busy machine, cuts off a stream. An answer that is lost fails its test.
CUT_OFF = re.compile(
    "AbortError|Connection errored out|Unexpected error 404: Not Found"  # by Gradio
    "|(404|ERR_INCOMPLETE_CHUNKED_ENCODING).*/(heartbeat/|queue/data)"  # by Chromium
    "|404.*/upload_progress"  # Gradio waits 3 s for an upload to begin, and then sends none of its progress
)
CHROMIUM = Path("/usr/bin/chromium")
START = 120  # seconds that a server may take on a busy machine
OTHER_MODEL = "conv4-random"  # a second model of the demo's zoo
PHOTO_MODEL = "conv4-photographs"  # a third one, whose gallery is of STL-10's photographs, which are not at hand
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def need(available: bool, what: str) -> None:
    """Skip the test if `what` is not there; fail it where RRZOO_REQUIRE_ALL says that everything has to be there."""
    if not available:
        if os.environ.get("RRZOO_REQUIRE_ALL"):  # not CI: GitHub sets that in a clone without any data
            pytest.fail(f"RRZOO_REQUIRE_ALL is set, and {what} is needed")
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


class Outcome(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def call_main(main: Callable[[Sequence[str]], None], *argv: str | Path) -> Outcome:
    """Run a program's main function in this process; put the environment back."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.dict(os.environ):
        try:
            main([str(argument) for argument in argv])
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture
def run_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a command of rrzoo in this process, in the test's folder: run_command("search", "a.jpg", "--model", ...)."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(call_main, commands.main)


@pytest.fixture
def run_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a script in this process, in the test's folder: run_script("publish", "conv4-cifar10", "--dry-run")."""
    monkeypatch.chdir(tmp_path)
    return lambda name, *argv: call_main(importlib.import_module(name).main, *argv)


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
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clay10 have every tenth of its figures, 400 and 100: to train on and to measure in a second."""
    whole = CATALOGUE["clay10"]

    def load(record: Record, split: str, root: Path, how: Decoding) -> datasets.Dataset:
        figures = whole.load(record, split, root, how)
        return replace(figures, images=figures.images[::10], labels=figures.require_labels()[::10])

    monkeypatch.setitem(CATALOGUE, "clay10", replace(whole, load=load))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Serve a bucket called `galleries`; yield the server's host and port."""
    need(importlib.util.find_spec("lancedb") is not None, "lancedb: pip install 'rrzoo[lance]'")
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    place = ":".join(map(str, server.get_host_and_port()))
    files = S3FileSystem(
        access_key="test", secret_key="test", endpoint_override=place, scheme="http", allow_bucket_creation=True
    )
    files.create_dir("galleries")
    yield place
    server.stop()


@pytest.fixture
def lance_bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a store of its own, where nothing is yet."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    options = f"endpoint_override={s3}&scheme=http&region=us-east-1"
    return f"lance:s3://galleries/{uuid.uuid4().hex}?{options}"


@pytest.fixture
def lance_folder(tmp_path: Path) -> str:
    """The address of a store in a folder that is not there yet."""
    need(importlib.util.find_spec("lancedb") is not None, "lancedb: pip install 'rrzoo[lance]'")
    return f"lance:{tmp_path / 'store'}"


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


def app(*arguments: str) -> list[str]:
    """Return the command that starts the demo."""
    return [sys.executable, str(REPOSITORY / "app.py"), *arguments]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait for a demo that starts; fail with its log if it ends."""
    for _ in range(START * 5):
        if process.poll() is not None:
            pytest.fail(f"the demo ended at its start: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo runs: its log, uploads/, an empty data/, and zoo/ with two more models, of random weights."""
    folder = tmp_path_factory.mktemp("demo")
    shipped = rrzoo.load("conv4-cifar10").config
    architecture = replace(shipped.architecture, embedding_size=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        other = rrzoo.Model(replace(shipped, name=OTHER_MODEL, training=None, random_pair_scores=()))
        photo = rrzoo.Model(replace(shipped, name=PHOTO_MODEL, architecture=architecture, training=None))
    save(other, folder / "zoo" / OTHER_MODEL)
    save(photo, folder / "zoo" / PHOTO_MODEL, photo_gallery(photo))
    return folder


def photo_gallery(model: rrzoo.Model) -> rrzoo.Gallery:
    """Return a gallery of as many rows as STL-10 has photographs, drawn at random, that can't re-rank."""
    splits = tuple(Split("stl10", split, CATALOGUE["stl10"].splits[split]) for split in ("train", "test"))
    count = sum(one.rows for one in splits)
    unit = np.random.default_rng(5).normal(size=(count, 16)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    sources = tuple(source for one in splits for source in one.sources)
    rows = Rows(unit, np.ones(count, np.float32), np.arange(count) % 10, sources, None, None, splits=splits)
    return rrzoo.Gallery(model, rows, stl10.CLASSES, "STL-10", NoPictures("not at hand"))


@pytest.fixture(scope="session")
def server(demo_folder: Path) -> Iterator[str]:
    """The address of a running demo, without any network beyond this machine."""
    port = free_port()
    environment = os.environ | {
        "RRZOO_ZOO": str(demo_folder / "zoo"),
        "RRZOO_DATA": str(demo_folder / "data"),
        "GRADIO_TEMP_DIR": str(demo_folder / "uploads"),
        "HTTP_PROXY": "http://127.0.0.1:9",  # nothing answers there: a request to another host would fail
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    written = demo_folder / "log"
    with written.open("w") as log:
        command = app("--port", str(port), "--model", "conv4-cifar10")
        process = subprocess.Popen(command, env=environment, cwd=demo_folder, stdout=log, stderr=log)
    try:
        until_it_listens(process, port, written)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in written.read_text()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """One browser for all tests of a module."""
    need(CHROMIUM.exists(), f"a browser at {CHROMIUM} (Debian's package chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser", server: str) -> "Iterator[Page]":
    """A visitor's page on the demo. Any console error, and any request to another host, fails the test.

    What a test leaves on purpose, by opening another address, may cut off a call: that is no complaint.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    complaints = watched(opened, server)
    opened.goto(server)
    yield opened
    context.close()
    assert [complaint for complaint in complaints if not CUT_OFF.search(complaint)] == []


def watched(page: "Page", address: str) -> list[str]:
    """Return a list that errors of a page's console, and requests to other addresses, are added to."""
    complaints: list[str] = []

    def logged(message: "ConsoleMessage") -> None:
        if message.type == "error":
            complaints.append(f"{message.text} {message.location['url']}")

    page.on("console", logged)
    page.on("pageerror", lambda problem: complaints.append(str(problem)))
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else complaints.append(r.url))
    return complaints


@pytest.fixture
def figures(tmp_path: Path) -> list[Path]:
    """A horse, a truck and a bird of clay, as files."""
    clay = datasets.load("clay10", "test")
    paths = []
    for name in ("horse", "truck", "bird"):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(clay.images[clay.labels == clay.classes.index(name)][7]).save(paths[-1])
    return paths
