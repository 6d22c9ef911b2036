"""Devices: which one computes, and how. `pick` alone asks what there is."""

from dataclasses import dataclass

import torch

from rrzoo import errors, ranks

KINDS = "auto, cpu, cuda, cuda:N, mps"  # what `pick` takes


@dataclass(frozen=True)
class Device:
    """What computes."""

    where: torch.device
    name: str  # for people
    bfloat16: bool = False  # backbones compute in bfloat16 under autocast; heads and losses stay in float32

    @property
    def is_cpu(self) -> bool:
        """Whether the kernels of `rrzoo.kernels` run there."""
        return self.where.type == "cpu"

    @property
    def exact(self) -> torch.dtype:
        """The most precise numbers that it has."""
        return torch.float32 if self.where.type == "mps" else torch.float64


CPU = Device(torch.device("cpu"), "the CPU")


def pick(wanted: str = "auto") -> Device:
    """Return the device that is asked for.

    "auto" is a GPU of NVIDIA or AMD where there is one, else Apple's, else the CPU. "cuda" and "auto" give each rank of
    a machine a GPU of its own.

    Raises:
        errors.ArgumentError: it is not there; the message says which are.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, number = wanted.partition(":")
    if wanted == "cpu":
        return CPU
    if kind == "cuda" and (number.isdecimal() if colon else True):
        rank = ranks.announced()
        if colon and rank.count > 1:
            raise errors.ArgumentError(f"{rank.count} ranks can't share {wanted}: --device cuda gives each its own")
        return _cuda(int(number) if colon else rank.local, wanted)
    if wanted != "mps":
        raise errors.ArgumentError(f"no device is called {wanted!r}: choose one of {KINDS}")
    if not torch.backends.mps.is_available():
        raise _absent(wanted)
    if ranks.announced().count > 1:
        raise errors.ArgumentError("Apple's GPU serves one rank: choose --device cpu, or start one process")
    return Device(torch.device("mps"), "Apple's GPU (mps)")


def _cuda(number: int, wanted: str) -> Device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        raise _absent(wanted if ":" in wanted else f"cuda:{number}")
    device = torch.device("cuda", number)
    name = f"{torch.cuda.get_device_name(device)} (cuda:{number})"
    return Device(device, name, bfloat16=torch.cuda.is_bf16_supported(including_emulation=False))


def _absent(wanted: str) -> errors.ArgumentError:
    there = ["cpu"]
    if torch.cuda.is_available():
        there += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        there.append("mps")
    reason = "" if torch.version.cuda or torch.version.hip else ", and this build of torch is for CPUs alone"
    return errors.ArgumentError(f"the device {wanted} is not there{reason}: here are {', '.join(there)}")
