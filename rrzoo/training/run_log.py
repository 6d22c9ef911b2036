"""The log of a run: one line of JSON for each event."""

import json
import time
from pathlib import Path

LOG = "log.jsonl"


def log(run: Path, **record: object) -> None:
    """Append one line of JSON to the log of a run."""
    with (run / LOG).open("a") as file:
        file.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **record}) + "\n")
