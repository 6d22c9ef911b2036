"""docs/commands.md is what the commands say of themselves."""

from conftest import REPOSITORY
from rrzoo import commands
from rrzoo.commands import reference


def test_the_reference_is_current() -> None:
    page = (REPOSITORY / "docs" / "commands.md").read_text()
    assert page == reference.render(), "docs/commands.md is stale: renew it with `make reference`"


def test_it_names_every_argument() -> None:
    page = reference.render()
    for name in commands.COMMANDS:
        section = page.split(f"\n## rrzoo {name}\n")[1].split("\n## ")[0]
        for action in commands.parser_of(commands.load(name), name)._actions:
            term = action.option_strings[-1] if action.option_strings else action.metavar
            assert term == "--help" or f"\n- `{term}" in section, (name, term)
