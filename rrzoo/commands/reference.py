"""The command reference, docs/commands.md, computed from the commands: `make reference` writes it anew.

argparse's own help is laid out differently by each version of Python; this page is not.
"""

import argparse
import html

from rrzoo import commands

HEAD = """# Commands

`rrzoo COMMAND`, or `python -m rrzoo COMMAND` where the package is not installed. In a clone, `python scripts/train.py`,
`python scripts/evaluate.py` and `python app.py` are `rrzoo train`, `rrzoo evaluate` and `rrzoo demo`.
`rrzoo --version` prints the version, `rrzoo COMMAND --help` what is below.

This page is computed from the commands: `make reference` writes it anew.
"""


def render() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, "| command | what it does |\n|---|---|"]
    parts += [f"| [`{name}`](#rrzoo-{name}) | {summary} |" for name, summary in commands.COMMANDS.items()]
    parts += ["\n## Exit statuses\n", "| status | meaning |\n|---|---|"]
    parts += [f"| {status} | {meaning} |" for status, meaning in commands.STATUSES.items()]
    for name in commands.COMMANDS:
        parser = commands.parser_of(commands.load(name), f"rrzoo {name}")
        parts += [f"\n## rrzoo {name}\n", (parser.description or "").strip(), f"\n{_usage(parser)}\n"]
        for number, group in enumerate(parser._action_groups):
            if number > 1:  # after those that argparse makes itself: positional arguments and options
                parts.append(f"\n{str(group.title).capitalize()}:\n")
            parts += [_item(action) for action in group._group_actions if action.dest != "help"]
        if parser.epilog:
            parts.append(f"\n```text\n{parser.epilog % {'prog': parser.prog}}\n```")
    return "\n".join(parts) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    words = [parser.prog]
    for action in parser._actions:
        if action.option_strings:
            words += [_form(action)] if action.required else []
        else:
            words.append({"?": "[{}]", "*": "[{} ...]"}.get(str(action.nargs), "{}").format(action.metavar))
    return f"`{' '.join(words)} [options]`"


def _form(action: argparse.Action) -> str:
    """Return an argument as it is typed, with the name of its value."""
    if not action.option_strings:
        return str(action.metavar)
    name, value = action.option_strings[-1], action.metavar or action.dest.upper()
    if action.nargs == 0:
        return name
    return f"{name} [{value}]" if action.nargs == "?" else f"{name} {value}"


def _item(action: argparse.Action) -> str:
    text = html.escape((action.help or "") % vars(action), quote=False)
    return f"- `{_form(action)}`: {text}{' (required)' if action.required and action.option_strings else ''}"


if __name__ == "__main__":
    print(render(), end="")
