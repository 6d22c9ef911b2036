"""Files are written whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import REPOSITORY
from rrzoo import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_another_and_others_may_read_it(tmp_path: Path) -> None:
    files.write(tmp_path / "a" / "f.json", "old")
    files.write(tmp_path / "a" / "f.json", b"new")
    assert (tmp_path / "a" / "f.json").read_text() == "new"
    assert names(tmp_path / "a") == ["f.json"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE((tmp_path / "a" / "f.json").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    files.write(tmp_path / "f", "old")
    with suppress(ZeroDivisionError), files.new_file(tmp_path / "f") as unfinished:
        unfinished.write_text("half")
        fail()
    with suppress(ZeroDivisionError), files.new_folder(tmp_path / "g") as folder:
        (folder / "f").write_text("half")
        fail()
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f").read_text() == "old"


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "g") as folder:
        (folder / "inside").mkdir()
        (folder / "inside" / "f").write_text("x")
    with pytest.raises(OSError, match="not empty"), files.new_folder(tmp_path / "g") as folder:
        (folder / "other").write_text("x")
    assert names(tmp_path) == ["g"]
    assert names(tmp_path / "g") == ["inside"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        events.append("folder" if stat.S_ISDIR(mode) else "file")
        fsync(descriptor)

    def note_replace(path: Path, target: Path) -> Path:
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    files.write(tmp_path / "f", "x")
    assert events == ["file", "rename", "folder"]


def test_hashes_are_sha256(tmp_path: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4
    (tmp_path / "f").touch()
    assert files.sha256(b"") == files.sha256(tmp_path / "f") == empty
    assert files.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_lock_is_respected_and_let_go_of(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from rrzoo import files
try:
    with files.lock(Path({str(tmp_path / "lock")!r})):
        print("got it")
except BlockingIOError:
    print("held")
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with files.lock(tmp_path / "lock"):
        assert subprocess.check_output(command, env=environment, text=True) == "held\n"
    assert subprocess.check_output(command, env=environment, text=True) == "got it\n"


WRITING = """
import sys, time
from pathlib import Path
from safetensors.torch import save_file
import torch
from rrzoo import files
folder = Path(sys.argv[1])
with files.new_file(folder / "f") as file, files.new_folder(folder / "g") as made:
    save_file({"a": torch.ones(3)}, file)
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("ending", ["killed", "finished"])
def test_only_what_nobody_writes_any_more_is_removed(tmp_path: Path, ending: str) -> None:
    (tmp_path / "whole").write_text("x")
    (tmp_path / f"{files.UNFINISHED}link").symlink_to(tmp_path.parent)
    command = [sys.executable, "-c", WRITING, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        before = names(tmp_path)
        files.remove_abandoned(tmp_path)
        assert names(tmp_path) == before
        assert len(before) == 4
        if ending == "killed":
            process.kill()
        process.communicate()
    files.remove_abandoned(tmp_path)
    made = [] if ending == "killed" else ["f", "g"]
    assert names(tmp_path) == [f"{files.UNFINISHED}link", *made, "whole"]


def test_without_locks_everything_is_written_and_nothing_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    files.write(tmp_path / "f", "x")
    (tmp_path / f"{files.UNFINISHED}g").mkdir()
    files.remove_abandoned(tmp_path)
    assert names(tmp_path) == [f"{files.UNFINISHED}g", "f"]
