"""What commands show while they work: bars, and what was left out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from rrzoo import ranks
from rrzoo.commands.printing import printable
from rrzoo.progress import OnProgress

LISTED = 20  # pictures that are named


def image_bar(description: str) -> tqdm:
    """Return a bar that counts images; of several ranks the first alone shows it."""
    hidden = not ranks.announced().first
    return tqdm(desc=description, unit=" images", unit_scale=True, dynamic_ncols=True, delay=0.2, disable=hidden)


def decoding(files: Iterable[Path], count: int) -> Iterable[Path]:
    """Show a bar while images are decoded for the first time."""
    bar: Iterable[Path] = tqdm(files, "decoding", count, unit=" images", unit_scale=True, dynamic_ncols=True)
    return bar


def mover(bar: tqdm) -> OnProgress:
    """Return a function that moves a bar."""

    def move(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return move


def resumer(bar: tqdm) -> OnProgress:
    """Return a function that moves a bar; its first call says what earlier runs did, which is no speed of this one."""
    move = mover(bar)

    def resume(done: int, total: int) -> None:
        if bar.total is None:
            bar.initial = bar.n = done
        move(done, total)

    return resume


def print_skipped(skipped: Sequence[str], file: TextIO | None = None) -> None:
    """Say how many images were left out, if any were, and which: on `file`, or else the standard output."""
    if skipped:
        print(f"{len(skipped):,} images could not be read and are left out:", file=file)
        print_some(skipped, file)


def print_some(lines: Sequence[str], file: TextIO | None = None) -> None:
    """Print lines, indented: the first of them, and how many more there are; on `file`, or else the standard output."""
    for line in lines[:LISTED]:
        print(f"  {printable(line)}", file=file)
    if len(lines) > LISTED:
        print(f"  and {len(lines) - LISTED:,} more", file=file)
