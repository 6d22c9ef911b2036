"""The log of a run: one line of JSON for each event."""

import errno
import json
import os
import time
from pathlib import Path

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


def _append(path: Path, content: bytes) -> None:
    """Append to a file all of `content` or nothing."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) != len(content):  # there was room for a part
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
