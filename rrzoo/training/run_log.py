"""The log of a run: one line of JSON for each event."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

from rrzoo import errors

LOG = "log.jsonl"


def log(run: Path, **record: object) -> None:
    """Append one line of JSON to the log of a run.

    Raises:
        errors.TrainingError: it can't be written, since the disk is full, say; the log is then as it was.
    """
    line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **record}) + "\n"
    try:
        _append(run / LOG, line.encode())
    except OSError as problem:
        raise errors.TrainingError(
            f"{run / LOG} can't be written ({problem.strerror}): make room, then go on with --resume"
        ) from None


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log that may be written still: its last line may be unfinished, or there may be none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _append(path: Path, content: bytes) -> None:
    """Append to a file all of `content` or nothing."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) != len(content):  # there was room for a part
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
