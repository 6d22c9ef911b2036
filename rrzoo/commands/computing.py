"""Which device computes, and how many processes: what the commands that compute ask alike."""

import argparse
import contextlib
import os
from collections.abc import Iterator

from rrzoo import devices, ranks
from rrzoo.devices import Device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the device."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="auto",
        help=f"that computes: {devices.KINDS} (auto: a GPU where there is one, else the CPU)",
    )


def device(options: argparse.Namespace) -> Device:
    """Return the device that is asked for; where nobody has chosen, and it is not the CPU, say which.

    Raises:
        errors.ArgumentError: it is not there; or several ranks are announced that have not met.
    """
    ranks.this()
    picked = devices.pick(options.device)
    if options.device == "auto" and not picked.is_cpu:
        print(f"computing on {picked.name}", flush=True)
    return picked


@contextlib.contextmanager
def together(options: argparse.Namespace, remedy: str) -> Iterator[None]:
    """Bring ranks together for a block, where torchrun has started several; the first alone speaks.

    Args:
        options: that name the device.
        remedy: what is kept, and what to do, where a rank is lost.

    Raises:
        errors.ArgumentError: the device is not there.
        errors.TrainingError: the ranks don't come together, or one was lost.
    """
    backend = "nccl" if devices.pick(options.device).where.type == "cuda" else "gloo"
    with ranks.meet(backend, remedy) as rank, contextlib.ExitStack() as stack:
        if rank.first:
            if rank.count > 1:
                print(f"{rank.count} ranks share the images", flush=True)
        else:
            silence = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
            stack.enter_context(contextlib.redirect_stdout(silence))
        yield
