"""The trainings that visitors ask for: one runs at a time, the others wait; all are bounded, and forgotten."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from rrzoo import errors, zoo
from rrzoo.demo.own_models.process import HEAD, MODEL, ORDER, PICTURES
from rrzoo.demo.own_models.progress import Progress, read_log
from rrzoo.gallery import Gallery
from rrzoo.model import Model

LEAST = 25  # pictures, a fifth of which is held out
MOST_WAITING = 5
MOST_KEPT = 8  # models that are done, some 30 MB each; the oldest goes
ABSENT = 120.0  # s without a look after which the visitor is taken to have left: hidden pages look once a minute
LONGEST = 600.0  # s that a training may take: with the lowest priority, a busy server can make it wait
NICE = 19  # so that visitors' questions come first
EXPECTED = {True: (12.0, 0.06), False: (75.0, 0.05)}  # s, and s a picture, of a head and from nothing; see docs/demo.md


@dataclass
class Training:
    """One training, from when it is asked for."""

    folder: Path
    head: bool  # on a borrowed backbone, or else from nothing
    pictures: int
    seen: float  # when its visitor last looked
    started: float | None = None
    process: subprocess.Popen[bytes] | None = None
    failed: str = ""  # a sentence
    ended: bool = False
    learnt: tuple[Model, Gallery] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while `learnt` is loaded

    @property
    def expected(self) -> float:
        """How many seconds it takes, about."""
        fixed, each = EXPECTED[self.head]
        return fixed + each * self.pictures


class Trainings:
    """One training for each session."""

    def __init__(self, root: Path, absent: float = ABSENT, longest: float = LONGEST) -> None:
        """Keep what they need in folders below `root`, which is made if need be."""
        self._root, self._absent, self._longest = root, absent, longest
        self._lock = threading.RLock()
        self._trainings: OrderedDict[str, Training] = OrderedDict()  # by session, in the order they were asked for
        self._keeper: threading.Thread | None = None
        self._slowness = 1.0  # of the last training: seconds taken, by those expected

    def ask(self, session: str, gallery: Gallery, way: str, before: str) -> None:
        """Let a model learn from a visitor's pictures as soon as it is its turn.

        Args:
            session: of the visitor; what was learnt for it before is forgotten.
            gallery: the pictures; a copy of them is written.
            way: `process.HEAD` or `process.NOTHING`.
            before: name of the model to compare with.

        Raises:
            errors.TrainingError: too few pictures, or too many visitors wait.
        """
        if len(gallery) < LEAST:
            raise errors.TrainingError(f"{len(gallery)} pictures are too few to learn from: drop at least {LEAST}")
        self.forget(session)
        with self._lock:
            if len(self._unfinished()) > MOST_WAITING:
                raise errors.TrainingError(
                    f"{MOST_WAITING} others wait to let a model learn: try it again in a few minutes"
                )
        folder = self._root / secrets.token_hex(32)
        (folder / PICTURES).mkdir(parents=True, mode=0o700)
        for row in range(len(gallery)):
            gallery.thumbnail(row).save(folder / PICTURES / f"{row:05}.png", compress_level=1)
        order = {"way": way, "before": before, "sources": list(gallery.sources)}
        (folder / ORDER).write_text(json.dumps(order))
        with self._lock:
            self._trainings[session] = Training(folder, way == HEAD, len(gallery), time.monotonic())
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, daemon=True)
                self._keeper.start()

    def look(self, session: str) -> Progress | None:
        """Say how far a visitor's training is; None: there is none. The visitor is taken to be there still."""
        with self._lock:
            training = self._trainings.get(session)
            if training is None:
                return None
            training.seen = time.monotonic()
            before = [] if training.ended else self._unfinished()[: self._unfinished().index(training)]
            seconds = sum(map(self._left, before)) if before else self._left(training)
        if training.failed:
            return Progress("failed", sentence=training.failed)
        return read_log(training.folder, training.pictures, training.head, len(before), seconds)

    def learnt(self, session: str) -> tuple[Model, Gallery] | None:
        """Return what a visitor's model has become, and his pictures as it sees them; None: it is not done."""
        with self._lock:
            training = self._trainings.get(session)
        if training is None or training.failed or not training.ended:
            return None
        with training.lock:
            if training.learnt is None:
                model = zoo.load(f"dir:{training.folder / MODEL}")
                training.learnt = model, model.gallery()
        return training.learnt

    def folder(self, session: str) -> Path | None:
        """Return the model folder of a visitor's model; None: it is not done, or was removed since."""
        with self._lock:
            training = self._trainings.get(session)
        folder = training.folder / MODEL if training and training.ended and not training.failed else None
        return folder if folder and folder.is_dir() else None

    def forget(self, session: str | None) -> None:
        """Stop a visitor's training, if there is one, and remove all that it left."""
        with self._lock:
            training = self._trainings.pop(session or "", None)
        if training:
            _end(training)
            shutil.rmtree(training.folder, ignore_errors=True)

    def _unfinished(self) -> list[Training]:
        return [one for one in self._trainings.values() if not one.ended]

    def _left(self, training: Training) -> float:
        taken = 0.0 if training.started is None else time.monotonic() - training.started
        return max(0.0, training.expected * self._slowness - taken)

    def _keep(self) -> None:
        """Start what waits, end what is left alone or takes too long, until nothing is to be done."""
        while True:
            with self._lock:
                if not self._trainings:
                    self._keeper = None
                    return
                for session in [s for s, one in self._trainings.items() if not one.ended and self._has_left(one)]:
                    self.forget(session)
                self._look_after(self._unfinished())
                done = [session for session, one in self._trainings.items() if one.ended]
                idle = [session for session in done if time.monotonic() - self._trainings[session].seen > 1800]
                for session in {*done[:-MOST_KEPT], *idle}:
                    self.forget(session)
            time.sleep(0.3)

    def _has_left(self, training: Training) -> bool:
        return time.monotonic() - training.seen > self._absent

    def _look_after(self, unfinished: list[Training]) -> None:
        """Go on with the training that was asked for first."""
        if not unfinished:
            return
        training = unfinished[0]
        if training.started is None:
            _start(training)
        assert training.process is not None
        assert training.started is not None
        taken = time.monotonic() - training.started
        if taken > self._longest:
            _end(training)
            training.failed = (
                f"it was not done after {self._longest / 60:.0f} minutes, as the server is busy. Try it later"
            )
        status = training.process.poll()
        if status is None and not training.failed:
            return
        training.ended = True
        if not training.failed:
            last = read_log(training.folder, training.pictures, training.head, 0, 0)
            if last.state == "done":
                self._slowness = min(max(taken / training.expected, 0.3), 10.0)
            else:
                training.failed = last.sentence or "something went wrong here: try it again, or with other pictures"


def _start(training: Training) -> None:
    command = [sys.executable, "-m", "rrzoo.demo.own_models.process", str(training.folder)]
    with (training.folder / "errors").open("wb") as errors_file:
        training.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors_file, env=_environment()
        )
    with contextlib.suppress(OSError, AttributeError):  # it has ended, or this is Windows
        os.setpriority(os.PRIO_PROCESS, training.process.pid, NICE)
    training.started = time.monotonic()


def _environment() -> dict[str, str]:
    """Return an environment in which the process finds the rrzoo of this one."""
    package = str(Path(__file__).parents[3])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _end(training: Training) -> None:
    if training.process:
        training.process.kill()
        training.process.wait()
        if training.process.stdin:
            training.process.stdin.close()
    training.ended = True
