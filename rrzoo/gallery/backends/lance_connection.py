"""Connections to LanceDB's stores, and what goes wrong there in one line: the only file that imports LanceDB."""

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from rrzoo import errors

SCHEME = "lance:"
PATIENCE = {"client_max_retries": "3", "client_retry_timeout": "20", "connect_timeout": "10s", "timeout": "60s"}
OPTIONS = ("endpoint_override", "region", "scheme")  # of an address, as pyarrow has them
PROBLEMS = (OSError, RuntimeError, ValueError, KeyError, TypeError, NotImplementedError)  # what LanceDB raises


def place_of(address: str) -> str:
    """Return where a store is: a folder, or an address of object storage.

    Raises:
        errors.ArgumentError: no place is named, one that holds a key, or LanceDB is missing.
    """
    if not address.startswith(SCHEME) or len(address) == len(SCHEME):
        raise errors.ArgumentError(f"{address!r} is no store: write lance:FOLDER, or lance:s3://BUCKET/PATH")
    if importlib.util.find_spec("lancedb") is None:
        raise errors.ArgumentError(f"{address} takes one more package, lancedb: pip install 'rrzoo[lance]'")
    place = address.removeprefix(SCHEME)
    if "://" in place and "@" in place:
        raise errors.ArgumentError(
            f"{address.partition('://')[0]}://...@{place.rpartition('@')[2]} holds a name or key: set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or your cloud's own, in the environment instead"
        )
    return place


def connect(place: str) -> Any:
    """Open the database of a place, see `place_of`; a folder is made if need be."""
    import lancedb

    if "://" not in place:
        return lancedb.connect(place)
    root, _, query = place.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = next((name for name in given if name not in OPTIONS), None)
    if unknown is not None:
        raise errors.ArgumentError(f"{unknown!r} of {place} is unknown: {errors.choices(unknown, OPTIONS)}")
    options = dict(PATIENCE)
    if "endpoint_override" in given:
        scheme = given.get("scheme", "https")
        options |= {"endpoint": f"{scheme}://{given['endpoint_override']}", "allow_http": str(scheme == "http").lower()}
    if "region" in given:
        options["region"] = given["region"]
    return lancedb.connect(root, storage_options=options)


def cells_of_bytes(cells: int) -> Any:
    """Return LanceDB's word for an inverted file of so many cells, each number of a vector as one byte."""
    from lancedb.index import IvfSq

    return IvfSq(distance_type="dot", num_partitions=cells)


@contextmanager
def in_one_line(address: str, done: str) -> Iterator[None]:
    """Say in one line what LanceDB says in many.

    Args:
        address: of the store.
        done: what can't be done to it, such as "read".

    Raises:
        errors.GalleryError: LanceDB has raised something.
    """
    try:
        yield
    except errors.RRZooError:
        raise
    except PROBLEMS as problem:
        kept = "; what is there is kept, and the same command goes on from it" if done == "written" else ""
        raise errors.GalleryError(f"{address} can't be {done}: {_reason(problem)}{kept}") from None


def _reason(problem: BaseException) -> str:
    """Return what matters of an error."""
    text = str(problem) or type(problem).__name__
    for pattern in (
        r"<Message>(.*?)</Message>",
        r"No space left on device",
        r'message: "(.*?)"',
        r"HTTP error: ([^,]*)",
    ):
        found = re.search(pattern, text)
        if found:
            return found[found.lastindex or 0]
    return re.sub(r"(lance error: |LanceError\([^)]*\): )+", "", text.splitlines()[0]).partition(", /")[0][:200]
