"""README and docs: what they show runs, the figures are those measured, what they name and link to is there.

Python runs, page by page, in an empty folder that holds docs/pictures. Of commands, the quick ones that need neither
network nor photographs run there, too; the options of all others are parsed by the command itself.
"""

import argparse
import importlib
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY
from rrzoo import zoo
from rrzoo.commands import borrowing
from rrzoo.evaluation.report import percent_or_dash
from rrzoo.recipes import RECIPES
from rrzoo.store import evaluation_file, model_folder
from test_layers import LAYERS, modules

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
GENERATED = DOCS / "commands.md"  # from the commands themselves: its blocks are their help
QUICK = ("search ", "index ", "data", "evaluate --table", "verify conv4-cifar10")  # how commands begin, or are
SLOW = (" --download", " --data", " hub:", "data clay10", " lance:")  # what such a command must not say
ELSEWHERE = {"hf", "export", ".venv/bin/pre-commit"}  # that are not ours
MODEL = re.compile(r"\b(?:conv4|resnet\d+|lite0(?!-pytorch))(?:x\d+)?(?:-[a-z0-9]+)+\b")
TITLES = {  # of columns: the figure of a model
    "linear probe": lambda of: f"{of.linear_probe:.2%}",
    "20-NN": lambda of: f"{of.knn['20']:.2%}",
    "paper's probe": lambda of: percent_or_dash(of.paper_probe),
    "random weights": lambda of: percent_or_dash(of.untrained and of.untrained.random_weights_linear_probe),
    "raw pixels": lambda of: percent_or_dash(of.untrained and of.untrained.raw_pixels_linear_probe),
    "relation AUC": lambda of: f"{of.relation.auc_same_image:.3f}" if of.relation else "-",
}


def page_name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Return the commands that a page shows, as arguments."""
    lines = "".join(blocks(page, "sh")).splitlines() if page != GENERATED else []
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def table(page: Path, title: str) -> list[dict[str, str]]:
    """Return the rows of a page's table whose first column has a title: title -> cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines()]
    (start,) = [number for number, row in enumerate(rows) if row[0].strip() == title]
    end = next(number for number in range(start, len(rows)) if rows[number] == [""])
    return [dict(zip(rows[start], row, strict=True)) for row in rows[start + 2 : end]]


def measured(name: str) -> Any:
    """Return what the folder of a model that ships says was measured."""
    folder = zoo.SHIPPED / name
    return evaluation_file.own(folder, model_folder.read_config(folder))


def shipped() -> set[str]:
    return {path.name for path in zoo.SHIPPED.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for docs/pictures, to run a page's code in."""
    shutil.copytree(DOCS / "pictures", tmp_path / "docs" / "pictures")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class ParsedError(Exception):
    """Raised in place of doing what was parsed."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let commands parse their arguments and stop there."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(self, *arguments)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    return monkeypatch


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_python_runs(page: Path, folder: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        if "gradio_client" not in block:  # those ask a running demo: test_demo.py
            exec(block, names)
    if page == README:  # the scores that its text gives
        assert names["score"] == pytest.approx([1.00, 0.59, 0.21], abs=0.005)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_name)
def test_commands_exist_and_take_their_options(page: Path, parse_only: pytest.MonkeyPatch) -> None:
    for words in commands(page):
        check(words, parse_only)


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail unless a command of a page exists; ours have to take their options, too."""
    program, *arguments = words
    if program == "make":
        makefile = (REPOSITORY / "Makefile").read_text()
        for word in arguments:
            assert re.search(rf"^{word.partition('=')[0]} *[:?]", makefile, re.MULTILINE), words
    elif program == ".venv/bin/rrzoo":
        with pytest.raises(ParsedError):
            importlib.import_module("rrzoo.commands").main(arguments)
    elif program == ".venv/bin/python" and arguments[0].startswith("scripts/"):
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(ParsedError):
            runpy.run_path(str(REPOSITORY / arguments[0]), run_name="__main__")
    elif program == ".venv/bin/python" and arguments[0] == "-m":
        assert arguments[1] in ("pip", "pytest"), words
        extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for word in arguments[2:]:
            assert not word.startswith(".[") or word[2:-1] in extras, words
            assert not word.startswith("tests/") or (REPOSITORY / word).exists(), words
    else:
        assert program in ELSEWHERE, words


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_name)
def test_quick_commands_run(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for program, *arguments in commands(page):
        text = " ".join(arguments)
        if program == ".venv/bin/rrzoo" and text.startswith(QUICK) and not any(slow in f" {text}" for slow in SLOW):
            importlib.import_module("rrzoo.commands").main(arguments)
            assert capsys.readouterr().out, text


def test_make_takes_the_variables_that_are_named() -> None:
    for page in PAGES:
        for command in re.findall(r"`(make \w+ [A-Z_]+=[^`]+)`", page.read_text()):
            _, target, variable = command.split()
            makefile = (REPOSITORY / "Makefile").read_text()
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
            assert re.search(rf"^{variable.partition('=')[0]} *\?=", makefile, re.MULTILINE), command


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150
    assert len(table(README, "model")) <= 6


def test_all_models_that_ship_are_in_the_docs() -> None:
    assert {row["model"].strip("`") for row in table(DOCS / "models.md", "model")} == shipped()


@pytest.mark.parametrize("page", [README, DOCS / "models.md"], ids=page_name)
def test_the_tables_are_what_was_measured(page: Path) -> None:
    for row in table(page, "model"):
        name = row.pop("model").strip("`")
        figures = {title: cell for title, cell in row.items() if title in TITLES}
        assert len(figures) >= 4
        assert figures == {title: TITLES[title](measured(name)) for title in figures}, name
        training = model_folder.read_config(zoo.SHIPPED / name).training
        assert training is not None
        assert row.get("views", "0 M") in ("0 M", f"{training.views_seen / 1e6:.1f} M"), name


@pytest.mark.parametrize("page", [page for page in PAGES if page != GENERATED], ids=page_name)
def test_models_that_are_named_ship_or_are_trained_on_the_page(page: Path) -> None:
    text = page.read_text()
    training = [words[2:] for words in commands(page) if words[:2] == [".venv/bin/rrzoo", "train"] and len(words) > 2]
    trained = {words[0] for words in training if "--backbone" not in words}
    assert trained - {"--dry-run", "--images"} <= set(RECIPES)
    borrowed = {borrowing.name_of(words[1], words[3]) for words in training if words[0] == "--backbone"}
    assert set(MODEL.findall(text)) <= shipped() | trained | borrowed


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)", linked.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=page_name)
def test_files_that_are_named_are_there(page: Path) -> None:
    for path in re.findall(r"`((?:rrzoo|scripts|tests|docs)/[\w./-]*)`", page.read_text()):
        assert (REPOSITORY / path).exists(), path


def test_every_page_is_linked() -> None:
    for index in (README, DOCS / "README.md"):
        linked = {(index.parent / t).resolve() for t in re.findall(r"\]\(([^)#\s]+)", index.read_text())}
        assert {page for page in PAGES if page.name != "README.md"} <= linked, index


def test_the_picture_of_the_layers_is_the_tested_one() -> None:
    (picture,) = blocks(DOCS / "design.md", "text")
    assert [set(line.split()) for line in picture.splitlines()] == LAYERS[::-1]


def test_every_room_is_in_the_design() -> None:
    rooms = [re.sub(r"`|/|\.py", "", row["in `rrzoo/`"]) for row in table(DOCS / "design.md", "in `rrzoo/`")]
    assert sorted(rooms) == sorted({*modules(), "models"} - {"__init__", "__main__"})
