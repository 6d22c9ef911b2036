"""What is meant by a name on the Hub."""

import re
from dataclasses import dataclass

from rrzoo import errors

MAIN = "main"


@dataclass(frozen=True)
class Source:
    """A model's place on the Hub."""

    repository: str  # owner/name
    revision: str = MAIN  # branch, tag or commit

    def __post_init__(self) -> None:
        """Refuse what is no name on the Hub, or would lead out of the cache."""
        part = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
        if not re.fullmatch(f"{part}/{part}", self.repository, re.ASCII) or ".." in self.repository:
            raise errors.ArgumentError(f"{self.repository!r} is no repository: write owner/name")
        if not re.fullmatch(f"{part}(?:/{part})*", self.revision, re.ASCII) or ".." in self.revision:
            raise errors.ArgumentError(f"{self.revision!r} is no revision: write a branch, a tag or a commit")

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read "owner/name" or "owner/name@revision"."""
        repository, at, revision = text.partition("@")
        return cls(repository, revision) if at else cls(repository)

    def __str__(self) -> str:
        """Return what `parse` reads."""
        return f"{self.repository}@{self.revision}"
