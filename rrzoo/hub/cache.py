"""Models are fetched into the Hub's cache. What is there is used without any request.

A branch or tag stays at the commit that was fetched first, until another tool (`hf download`) moves it. A file counts
only if its SHA-256 is the one that the model's manifest lists.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from rrzoo import errors, files
from rrzoo.hub import client
from rrzoo.hub.source import Source
from rrzoo.store import model_folder

COMMIT = "[0-9a-f]{40}"


def fetch(source: Source, names: Iterable[str]) -> Path:
    """Return a model folder that holds `names`, as far as the model has them; download what is not in the cache.

    Raises:
        errors.HubError: the Hub can't be reached, or refuses, or sends something else than the manifest lists. Nothing
            that is broken stays in the cache.
    """
    wanted = [model_folder.MANIFEST, *names]
    commit = cached_commit(source)
    if commit is None or not _complete(source, commit, wanted):
        commit = download(source, commit, wanted)
    folder = snapshot(source, commit)
    _check(source, folder, wanted)
    if commit not in (source.revision, cached_commit(source)):
        note_commit(source, commit)
    return folder


def cached_commit(source: Source) -> str | None:
    """Return the commit that a source's revision was at when it was fetched, or None."""
    if re.fullmatch(COMMIT, source.revision):
        return source.revision
    try:
        text = (_repository(source) / "refs" / source.revision).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(COMMIT, text) else None


def note_commit(source: Source, commit: str) -> None:
    """Write where the revision of a source is, from now on."""
    try:
        files.write(_repository(source) / "refs" / source.revision, commit)
    except OSError as problem:
        raise errors.HubError(
            f"the Hub's cache can't be written ({problem}): make room there, or set HF_HOME"
        ) from None


def _complete(source: Source, commit: str, wanted: list[str]) -> bool:
    folder = snapshot(source, commit)
    try:
        listed = model_folder.read_manifest(folder).sha256
    except errors.ModelFolderError:
        return False
    optional = {model_folder.CARD}  # not listed, since people edit it
    return all((folder / name).exists() for name in wanted if name in listed or name in optional)


def download(source: Source, commit: str | None, wanted: list[str], needed: str = model_folder.MANIFEST) -> str:
    """Bring `wanted`, as far as it is there, into the cache; return the commit that was fetched.

    Raises:
        errors.HubError: the Hub can't be reached, or refuses, or the repository has not what is `needed`.
    """
    import huggingface_hub

    api, watch = huggingface_hub.HfApi(), client.Watch()

    def bring() -> str:
        watch.allow(client.ANSWER)
        info = api.model_info(source.repository, revision=commit or source.revision, timeout=client.ANSWER)
        there = {sibling.rfilename for sibling in info.siblings or ()}
        fetched = str(info.sha)
        if not re.fullmatch(COMMIT, fetched):  # it becomes part of a path
            raise ValueError(f"{fetched!r} is no commit")
        if needed not in there:
            other = ": it is no model that scripts/publish.py uploaded" if needed == model_folder.MANIFEST else ""
            raise errors.HubError(f"{source} has no {needed}{other}")
        for name in wanted:
            if name in there:
                watch.allow(client.SILENCE)
                api.hf_hub_download(
                    source.repository, name, revision=fetched, cache_dir=_cache(), tqdm_class=watch.bar()
                )
        return fetched

    with client.refusals(source):
        return watch.run(bring)


def _check(source: Source, folder: Path, wanted: list[str]) -> None:
    """Refuse files that are not those of the manifest, and take them out of the cache."""
    try:
        bad = model_folder.altered(folder, wanted)
    except errors.ModelFolderError as problem:
        _remove(folder / model_folder.MANIFEST)
        raise errors.HubError(f"{source}: {problem}; it is removed from the cache, load the model again") from None
    if bad:
        for name in (*bad, model_folder.MANIFEST):  # either may be the broken one
            _remove(folder / name)
        raise errors.HubError(
            f"{', '.join(bad)} of {source} differs from its SHA-256 in {model_folder.MANIFEST}, and is removed from "
            "the cache: load the model again; if that does not help, what is on the Hub is broken"
        )


def _remove(path: Path) -> None:
    path.resolve().unlink(missing_ok=True)  # the blob that the snapshot links to
    path.unlink(missing_ok=True)


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _repository(source: Source) -> Path:
    return _cache() / f"models--{source.repository.replace('/', '--')}"


def snapshot(source: Source, commit: str) -> Path:
    """Return the folder in the cache that holds the files of a commit."""
    return _repository(source) / "snapshots" / commit
