"""The command rrzoo: what starts quickly, how it ends, and what it says of wrong input."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrzoo
from conftest import Outcome, call_main, run_python
from rrzoo import commands, errors
from rrzoo.commands import data

Run = Callable[..., Outcome]


def test_alone_it_shows_its_commands(run_command: Run) -> None:
    status, out, err = run_command()
    assert (status, err) == (0, "")
    assert out == run_command("--help").out
    for name, summary in commands.COMMANDS.items():
        assert re.search(rf"    {name}\s", out)
        assert summary.split(",")[0] in out


def test_version(run_command: Run) -> None:
    assert run_command("--version") == (0, f"rrzoo {rrzoo.__version__}\n", "")


def test_help_loads_no_torch_and_threads_sleep_before_it_loads() -> None:
    code = """
import os, sys
os.environ.pop("OMP_WAIT_POLICY", None)
from rrzoo import commands
commands.main([])
print([name for name in ("torch", "numpy") if name in sys.modules], os.environ.get("OMP_WAIT_POLICY"))
class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            print("torch loads:", os.environ["OMP_WAIT_POLICY"])
sys.meta_path.insert(0, Finder())
commands.load("search")
"""
    printed = run_python(code)
    assert "[] None\n" in printed
    assert "torch loads: passive\n" in printed


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_is_whole(name: str, run_command: Run) -> None:
    assert commands.load(name).STOPPED
    status, out, _ = run_command(name, "--help")
    assert status == 0
    assert out.startswith(f"usage: rrzoo {name} ")


WRONG = {
    "an unknown command": (["serch"], "serch"),
    "no image": (["search", "nowhere.jpg", "--model", "conv4-cifar10"], "nowhere.jpg: there is no such file"),
    "a folder as image": (["search", ".", "--model", "conv4-cifar10"], "is a folder"),
    "no results": (["search", "photo.png", "--model", "conv4-cifar10", "-k", "0"], "0"),
    "a text as image": (["search", "letter.png", "--model", "conv4-cifar10"], "letter.png is not an image"),
    "no gallery": (["search", "photo.png", "--model", "conv4-cifar10", "--gallery", "letter.png"], "no gallery"),
    "an unknown model": (["search", "photo.png", "--model", "conv4-cifar"], "did you mean conv4-cifar10"),
    "an unknown data set": (["data", "cifar11"], "did you mean cifar10"),
    "no source": (["index", "nowhere", "--model", "conv4-cifar10"], "nowhere"),
    "a model that is no model": (["verify", "dir:."], "manifest.json"),
    "a recipe that is none": (["train", "conv4-cifar11"], "did you mean conv4-cifar10"),
    "few views": (["train", "conv4-clay10", "--views", "1", "--dry-run"], "views"),
    "no model to measure": (["evaluate"], "name at least one model"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_status_2(case: str, run_command: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "letter.png").write_text("Dear model")
    arguments, message = WRONG[case]
    status, out, err = run_command(*arguments)
    assert (status, out) == (2, "")
    *usage, line = err.splitlines()
    assert "error: " in line
    assert message in line
    assert all(text.startswith(("usage:", " ")) for text in usage)  # of what argparse itself refuses


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, run_command: Run) -> None:
    def interrupt(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "run", interrupt)
    assert run_command("data") == (130, "", "\nstopped: the same command goes on from what is whole\n")


def test_a_fault_of_rrzoo_keeps_its_trace(monkeypatch: pytest.MonkeyPatch, run_command: Run) -> None:
    def fail(options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(data, "run", fail)
    with pytest.raises(ZeroDivisionError):
        run_command("data")


def test_a_reader_that_has_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "rrzoo", "data"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_errors_of_scripts_are_one_line() -> None:
    def main(argv: object) -> None:
        with commands.exit_statuses():
            raise errors.HubError("the Hub does not answer")

    assert call_main(main) == (2, "", "error: the Hub does not answer\n")
