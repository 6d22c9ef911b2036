"""Model folders from anywhere: whatever their files hold, there is an answer or one of rrzoo's own errors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import REPOSITORY
from rrzoo import errors, files
from rrzoo.store import card, evaluation_file, golden, model_folder
from rrzoo.store.load import load

OLD = REPOSITORY / "tests" / "fixtures" / "0.1.0" / "conv4-cifar10-relation"
VALUES = ("null", "-1", "1e999", "[]", "{}", r'"\ud800"', "9" * 400, "[" * 2000, "NaN", "true")
FILES = ("config.json", "evaluation.json", "manifest.json", "model.safetensors", "golden.safetensors")
TRIES = 40  # of each file


def mutated(random: np.random.Generator, content: bytes, text: bool) -> bytes:
    """Cut, overwrite or take out a few bytes; in text also put a strange value in place of one."""
    place = int(random.integers(len(content) if text else min(len(content), 4000)))  # tensors' heads come first
    kind = int(random.integers(4 if text else 3))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes(random.integers(0, 256, 4, dtype=np.uint8)) + content[place + 4 :]
    if kind == 2:
        return content[:place] + content[place + int(random.integers(1, 40)) :]
    start = content.find(b": ", place) + 2
    end = min(end for end in (content.find(b",", start), content.find(b"\n", start), len(content)) if end > 0)
    return content[:start] + str(random.choice(VALUES)).encode() + content[end:]


@pytest.mark.parametrize("name", FILES)
def test_damage_is_an_error_of_ours(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(OLD, tmp_path / "m"))
    content, random = (folder / name).read_bytes(), np.random.default_rng(5)
    refusals = []  # lines of each
    for _ in range(TRIES):
        (folder / name).write_bytes(mutated(random, content, name.endswith("json")))
        try:
            config = model_folder.read_config(folder)
            evaluation_file.own(folder, config)
            golden.verify(folder, 1)
            known = evaluation_file.read(folder, config)
            card.render(config, known.evaluations if known else {}).encode()
        except errors.RRZooError as problem:
            refusals.append(len(str(problem).splitlines()))
    assert set(refusals) == {1}


@pytest.mark.parametrize(
    "name",
    [
        "../config.json",
        "/etc/passwd",
        "gallery/../../x",
        "gallery/a/b",
        "gallery/.hidden",
        "gallery/",
        "other/manifest.json",
        "Gallery/x",
        "gallery\\x",
        ".x",
        "",
        "x\n",
        "gallery/x\n",
    ],
)
def test_a_manifest_names_files_of_its_own_folder_alone(name: str, tmp_path: Path) -> None:
    content = json.loads((OLD / "manifest.json").read_text())
    content["sha256"][name] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(
        errors.ModelFolderError, match="only names of files in its own folder are allowed, or in gallery/"
    ):
        model_folder.read_manifest(tmp_path)


def test_a_gallery_is_listed_file_by_file(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(OLD, tmp_path / "m"))
    assert model_folder.read_manifest(folder).gallery == []  # it was elsewhere, and is not read
    model = load(folder)
    model.gallery().save(folder / "gallery")
    model_folder.write_manifest(folder)
    manifest = model_folder.read_manifest(folder)
    assert manifest.format == 2
    there = {path for path in (folder / "gallery").iterdir() if not path.name.startswith(".")}
    assert set(manifest.gallery) == {f"gallery/{path.name}" for path in there}
    for path in there:
        assert manifest.sha256[f"gallery/{path.name}"] == files.sha256(path)
    assert model_folder.altered(folder) == []
    (folder / "gallery" / "manifest.json").write_bytes(b"another")
    assert model_folder.altered(folder) == ["gallery/manifest.json"]


def test_a_manifest_of_a_newer_version_says_upgrade(tmp_path: Path) -> None:
    content = json.loads((OLD / "manifest.json").read_text()) | {"format": 3}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(errors.ModelFolderError, match="format 3, this version reads 2: upgrade rrzoo"):
        model_folder.read_manifest(tmp_path)
