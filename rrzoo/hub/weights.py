"""One file of somebody else's repository, such as the weights of a borrowed backbone, which no manifest lists."""

from pathlib import Path

from rrzoo.hub import cache
from rrzoo.hub.source import Source


def fetch_file(source: Source, name: str) -> tuple[Path, str]:
    """Return a file of a repository, from the Hub's cache or else downloaded, and the commit that it is of.

    Raises:
        errors.HubError: the Hub can't be reached, which takes seconds, or refuses, or has no such file.
    """
    commit = cache.cached_commit(source)
    if commit is None or not (cache.snapshot(source, commit) / name).exists():
        commit = cache.download(source, commit, [name], needed=name)
        if commit != source.revision:
            cache.note_commit(source, commit)
    return cache.snapshot(source, commit) / name, commit
