"""Every exception that rrzoo raises on purpose.

Each message says what arrived, what is allowed and what to do next. Catch `RRZooError` for all of them; each also
derives from the built-in that fits, so code that knows nothing of rrzoo can still catch it.
"""

import difflib
from collections.abc import Iterable


class RRZooError(Exception):
    """Base of all errors below."""


class ArgumentError(RRZooError, ValueError):
    """An argument or a recipe is outside what is allowed."""


class ImageError(RRZooError, ValueError):
    """Something that should be an image could not be read as one, or is too large."""


class DatasetError(RRZooError, ValueError):
    """A data set is missing, incomplete or broken."""


class DatasetAbsentError(DatasetError):
    """A data set, or a split of it, is not at hand."""


class DownloadError(RRZooError, RuntimeError):
    """A data set can't be fetched, or what was fetched is not what it should be."""


class UnknownModelError(RRZooError, LookupError):
    """No model of that name is at hand."""


class ModelFolderError(RRZooError, ValueError):
    """A model folder is missing a file, or holds one that is damaged, foreign or of another format."""


class HubError(RRZooError, OSError):
    """The Hub can't be reached, refuses, or sends a file that is not the one its manifest lists."""


class GalleryError(RRZooError, ValueError):
    """A gallery is empty, damaged, or was made by another model."""


class DamagedGalleryError(GalleryError):
    """A gallery's files are not what they should be."""


class TrainingError(RRZooError, RuntimeError):
    """Training can't start or go on: a run is already there, none is there to resume, or the loss is not finite."""


def choices(given: str, allowed: Iterable[str]) -> str:
    """Return the part of a message that names the allowed values, close matches of `given` first."""
    names = list(allowed)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"


def first_line(problem: object) -> str:
    """Return the first line of what another library's error says, without a full stop; its kind where it is empty."""
    lines = (line.strip() for line in str(problem).splitlines())
    return next(filter(None, lines), type(problem).__name__)[:200].rstrip(".")
