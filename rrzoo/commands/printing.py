"""Text from outside, such as names of files, on a terminal of whatever encoding."""

import sys
from typing import Any


def printable(text: str) -> str:
    """Return text on one line, with what is not printable spelt out: line feeds, escape codes, bytes of no encoding."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def spell_out_what_the_terminal_lacks() -> None:
    """Print letters that the encoding of standard output or error lacks as their numbers, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
