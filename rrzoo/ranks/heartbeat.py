"""Signs of life: processes that work together end together, also where one of them stops without ending.

A rank that is killed closes its connections, and whoever waits for it learns that at once. One that is stopped, or
whose machine is gone, keeps them open; and ranks may compute for hours before they next wait for one another. So each
counts, once a second, in the store in which they met. Where another's count stands still, a rank says so and ends.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

BEAT = 1.0  # s
SILENCE = 12  # own beats without one of another: counted, so that a whole machine may sleep, or Ctrl-Z stop all ranks
FIRST = "0"  # the count that a rank begins with, before any listens
DONE = b"done"
TIMEOUT = timedelta(seconds=SILENCE * BEAT)  # of the store


@dataclass(frozen=True)
class Process:
    """A process, and where its number means something."""

    number: int
    system: str  # the boot of a machine and the container on it; "": not known here

    @classmethod
    def this(cls) -> "Process":
        """Return this process."""
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return cls(os.getpid(), f"{boot} {Path('/proc/self/ns/pid').readlink()}")
        except OSError:  # no Linux
            return cls(os.getpid(), "")


class Heartbeat:
    """Beats in a thread of its own, and listens to the others in another: asking may take for ever, too."""

    def __init__(self, store: Any, processes: Sequence[Process], rank: int, remedy: str) -> None:
        """Begin; return at once.

        Args:
            store: a torch.distributed.Store that all ranks reach; each has told it `FIRST`.
            processes: of all ranks.
            rank: the number of this one.
            remedy: what to do, and what is kept, where a rank is lost.
        """
        self._store, self._rank, self._remedy = store, rank, remedy
        self._others = [number for number in range(len(processes)) if number != rank]
        self._silent = dict.fromkeys(self._others, 0)  # beats since each was last heard of
        self._left = threading.Event()
        self._handles = _handles(processes, rank)
        store.set_timeout(TIMEOUT)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._beat, self._listen)]
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        """Stop, and tell the others that this rank needs them no more."""
        self.abandon()
        with contextlib.suppress(RuntimeError):  # the store is gone
            self._store.set(str(self._rank), DONE.decode())

    def abandon(self) -> None:
        """Stop without a word: where this rank ends with an error, the others shall end, too."""
        self._left.set()
        for thread in self._threads:  # one that still asks the store while Python ends would abort the process
            thread.join(SILENCE * BEAT)

    def _beat(self) -> None:
        names, heard, count = [str(number) for number in self._others], dict[int, bytes](), 0
        while not self._left.wait(BEAT):
            count += 1
            try:
                self._store.set(str(self._rank), str(count))
                values = self._store.multi_get(names)
            except RuntimeError:  # the store is gone, or does not answer: nobody is heard of
                continue
            for number, value in zip(self._others, values, strict=True):
                if heard.get(number) != value or value == DONE:
                    heard[number], self._silent[number] = value, 0

    def _listen(self) -> None:
        while not self._left.wait(BEAT):
            for number in self._others:
                self._silent[number] += 1
            lost = [number for number, beats in self._silent.items() if beats > SILENCE]
            if lost and not self._left.is_set():
                self._end(lost)

    def _end(self, lost: Sequence[int]) -> None:
        """End this process, whatever it does, and what hangs on this machine, which torchrun would wait for."""
        names = f"rank{'s' * (len(lost) > 1)} {', '.join(map(str, lost))}"
        print(
            f"error: rank {self._rank} lost the others (nothing is heard of {names} for {SILENCE * BEAT:.0f} s): "
            f"{self._remedy}",
            file=sys.stderr,
            flush=True,
        )
        for number in lost:
            if number in self._handles:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(self._handles[number], signal.SIGKILL)
        os._exit(2)  # the main thread may wait, out of reach, in a library


def _handles(processes: Sequence[Process], rank: int) -> dict[int, int]:
    """Return handles of the other ranks on this machine; unlike numbers, they never come to mean another process."""
    own, found = processes[rank], dict[int, int]()
    if not own.system or not hasattr(os, "pidfd_open"):
        return found
    for number, process in enumerate(processes):
        if number != rank and process.system == own.system:
            with contextlib.suppress(OSError):
                found[number] = os.pidfd_open(process.number)
    return found
