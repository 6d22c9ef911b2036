"""The console command `rrzoo`. `python -m rrzoo` and the scripts run the same functions.

One module is one command, named like it: `add_arguments(parser)`, `run(options)`, and STOPPED, what to say after
Ctrl-C; its docstring is the command's description. A command is imported when it is chosen, so that `rrzoo --help`
loads no torch.
"""

import argparse
import errno
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from rrzoo import __version__, errors
from rrzoo.commands.printing import printable, spell_out_what_the_terminal_lacks

COMMANDS = {
    "demo": "search, classify and relate pictures in the browser",
    "train": "train models without labels, measure and export them",
    "index": "build a gallery of a data set or of a folder, to search in",
    "search": "find the images of a gallery that are most like one",
    "duplicates": "find pictures of a folder that are copies of one another",
    "map": "draw a gallery as a map, on which like pictures lie near",
    "data": "list data sets; or fetch, decode and describe one",
    "evaluate": "measure models on any labelled data set",
    "verify": "check a model's files and outputs, and measure its accuracy again",
}
STATUSES = {
    0: "all went well",
    2: "something that you can mend: the last line, which says `error:`, tells what and how",
    130: "stopped with Ctrl-C: the last line tells how to go on",
    141: "the program that read the output, such as `head`, has ended",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name.

    Args:
        argv: arguments; default: those of this process.

    Raises:
        SystemExit: with a status of STATUSES, if it is not 0, or after --help and --version.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and arguments[0] in COMMANDS:
        run(arguments[0], arguments[1:])
        return
    parser = main_parser()
    parser.parse_args(arguments)
    parser.print_help()


def run(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run one command.

    Args:
        name: of COMMANDS.
        argv: the arguments after the name; default: those of this process.
        prog: what its help calls it; default: "rrzoo" and the name.

    Raises:
        SystemExit: as for `main`.
    """
    open_standard_streams()
    spell_out_what_the_terminal_lacks()
    with exit_statuses():
        command = load(name)
    with exit_statuses(command.STOPPED):
        command.run(parser_of(command, prog or f"rrzoo {name}").parse_args(argv))


def load(name: str) -> ModuleType:
    """Import a command and all it needs."""
    module = f"{__name__}.{name}"
    if module not in sys.modules:
        with starting():
            importlib.import_module(module)
    return sys.modules[module]


def main_parser() -> argparse.ArgumentParser:
    """Return the parser of `rrzoo` itself, which knows its commands by name alone."""
    parser = argparse.ArgumentParser(
        prog="rrzoo",
        description="Vision models that learnt without labels: train them, search your pictures with them.",
        epilog="rrzoo COMMAND --help says what a command takes. Without the package installed, in a clone: "
        "python -m rrzoo COMMAND.",
    )
    parser.add_argument("--version", action="version", version=f"rrzoo {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def parser_of(command: ModuleType, prog: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=command.__doc__, formatter_class=formatter)
    command.add_arguments(parser)
    return parser


def open_standard_streams() -> None:
    """Open those of a process that was started without: else the next file it opens would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - for as long as the process runs


@contextmanager
def exit_statuses(stopped: str = "") -> Iterator[None]:
    """End the process with a status of STATUSES and at most one line where the block fails in a way that users mend.

    Args:
        stopped: what to say after Ctrl-C.

    Raises:
        SystemExit: the block failed so. Any other exception passes: it is a fault of rrzoo, and its trace is needed.
    """
    try:
        yield
        sys.stdout.flush()  # here, not while Python ends, where nobody could catch what it raises
    except errors.RRZooError as problem:
        print(f"error: {printable(str(problem))}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed as Python ends
        raise SystemExit(141) from None
    except OSError as problem:
        if problem.filename is not None or problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed as Python ends
        print(
            f"error: the output can't be written ({problem.strerror}): make room, or send it elsewhere", file=sys.stderr
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"\nstopped{stopped and f': {stopped}'}", file=sys.stderr)
        raise SystemExit(130) from None


@contextmanager
def starting() -> Iterator[None]:
    """Start fast: to import a program's modules in, before torch is loaded.

    torch and numba each bring a pool of OpenMP threads, one a core; FAISS is kept to one thread by `rrzoo.gallery`. A
    thread that waits for work spins by default. While another process, or the other pool, needs the core, that costs
    many times what it saves: so waiting threads sleep, unless OMP_WAIT_POLICY is already set otherwise.

    What loads is hundreds of thousands of objects that stay. Looking for garbage among them, again and again, would
    take longer than training's first step: so the collector begins once they are there, and leaves them out.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch loads the library of the threads
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
