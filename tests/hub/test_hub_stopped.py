"""Downloads and uploads that are killed at each file operation, and downloads at the same time."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_faults import FILES, LOAD, NAME
from hub_server import TOKEN, HubServer
from huggingface_hub import constants
from test_hub import files_of, point_at

import faults
import rrzoo
from conftest import REPOSITORY
from rrzoo import hub
from rrzoo.store import golden, model_folder
from rrzoo.store.load import load

OLD = REPOSITORY / "tests" / "fixtures" / "0.1.0" / "conv4-cifar10-relation"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
def server(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    running = HubServer()
    point_at(running.url, place / "hub", monkeypatch)
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(place / "xet"), raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield running
    running.close()


@pytest.mark.slow
def test_a_download_killed_at_every_file_operation(server: HubServer, place: Path) -> None:
    """What the next one finds is whole, or fetched anew."""
    server.add(NAME, files_of(OLD))
    source = hub.Source(NAME)
    names = [model_folder.CONFIG, model_folder.WEIGHTS]
    place.mkdir()

    def whole() -> None:
        folder = hub.fetch(source, names)
        assert model_folder.altered(folder, names) == []

    assert faults.killed_everywhere(place, (lambda: hub.fetch(source, names), whole)) > 8


@pytest.mark.slow
def test_an_upload_killed_at_every_file_operation(
    server: HubServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder stays as it was; on the Hub is the old model or the new one, and the next upload ends well."""
    monkeypatch.setattr(golden, "verify", lambda folder, tolerance: None)  # it writes nothing, and takes long
    folder = place / "model"
    shutil.copytree(OLD, folder)
    model_folder.write_manifest(folder)  # without what only older versions read
    shown = rrzoo.Gallery.from_images(load(folder), [np.zeros((20, 20, 3), np.uint8)])
    hub.publish(folder, hub.Source(NAME, "v1"))
    old = server.repositories[NAME].head
    shown.save(folder / "gallery")
    model_folder.write_manifest(folder)
    known = copy.deepcopy(server.repositories)
    listed = {*model_folder.read_manifest(folder).sha256, model_folder.MANIFEST, model_folder.CARD, ".gitattributes"}

    def whole() -> None:
        assert model_folder.altered(folder) == []
        head = server.repositories[NAME].head
        assert head == old or set(head) == listed
        hub.publish(folder, hub.Source(NAME, "v2"))
        assert set(server.repositories[NAME].head) == listed

    def forget() -> None:
        server.repositories = copy.deepcopy(known)

    operation = (lambda: hub.publish(folder, hub.Source(NAME, "v2")), whole)
    assert faults.killed_everywhere(place, operation, forget) > 8


@pytest.mark.slow
def test_downloads_into_one_cache_at_once(server: HubServer, tmp_path: Path) -> None:
    server.add(NAME, FILES)
    server.drip = 0.05  # so that they meet
    variables = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "RRZOO_ZOO": str(tmp_path / "zoo")}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HUB_DISABLE_XET": "1", **variables}
    command = [sys.executable, "-c", LOAD, f"hub:{NAME}"]
    loads = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(3)
    ]
    assert [one.communicate(timeout=200)[0].split(maxsplit=1)[1] for one in loads] == ["loaded\n"] * 3
    (folder,) = (tmp_path / "home").glob("hub/models--*/snapshots/*")
    assert model_folder.altered(folder, [model_folder.CONFIG, model_folder.WEIGHTS]) == []
    assert list((tmp_path / "home").rglob("*.incomplete")) == []
