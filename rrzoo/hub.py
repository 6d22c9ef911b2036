"""Models on the Hugging Face Hub: fetched into its cache, each file checked. The only user of huggingface_hub.

What is in the cache is used without any request: a branch or tag stays at the commit that was fetched first, until
another tool (`hf download`) moves it. A file counts only if its SHA-256 is the one that the model's manifest lists.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rrzoo import errors, model_folder

if TYPE_CHECKING:
    import huggingface_hub

TIMEOUT = 3.0  # seconds in which the Hub has to answer before anything is downloaded
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


def fetch(source: Source, files: Iterable[str]) -> Path:
    """Return a model folder that holds `files`, as far as the model has them; download what is not in the cache.

    Raises:
        errors.HubError: the Hub can't be reached, or refuses, or sends something else than the manifest lists. Nothing
            that is broken stays in the cache.
    """
    wanted = [model_folder.MANIFEST, *files]
    commit = _cached_commit(source)
    if commit is None or not _complete(source, commit, wanted):
        commit = _download(source, commit, wanted)
    folder = _snapshot(source, commit)
    _check(source, folder, wanted)
    if commit != source.revision:
        _write(_repository(source) / "refs" / source.revision, commit)
    return folder


def publish(
    folder: Path, source: Source, private: bool = False, dry_run: bool = False, replace_card: bool = False
) -> str:
    """Upload a model folder in one commit, and tag it with the source's revision; where nothing changed, do nothing.

    Only what the manifest lists is uploaded, with manifest and card. A card that was edited on the Hub stays, unless
    `replace_card`.

    Returns:
        a line about what was done.

    Raises:
        errors.ModelFolderError: the folder is not as it was exported.
        errors.HubError: the Hub can't be reached or refuses; or the tag is there, at another commit.
    """
    import huggingface_hub

    model_folder.verify(folder)
    if changed := model_folder.altered(folder):
        raise errors.ModelFolderError(f"{folder}: {', '.join(changed)} changed since the export: export it again")
    manifest = model_folder.read_manifest(folder)
    card = (folder / model_folder.CARD).read_bytes()
    files = {name: (folder / name).read_bytes() for name in manifest.sha256} | {model_folder.CARD: card}
    if dry_run:
        sizes = ", ".join(f"{name} ({len(content):,} bytes)" for name, content in files.items())
        return f"would upload to {source}: {model_folder.MANIFEST}, {sizes}"
    api, repository, kept = huggingface_hub.HfApi(), source.repository, ""
    with _refusals(source):
        api.create_repo(repository, private=private, exist_ok=True)
        there = _published(api, repository)
        digest = hashlib.sha256(card).hexdigest()
        old = there.get(model_folder.MANIFEST)
        published = str(json.loads(old).get("card", "")) if old else ""
        online = there.get(model_folder.CARD)
        if online is not None and not replace_card and hashlib.sha256(online).hexdigest() not in (published, digest):
            kept, digest = "; its card was edited there and stays (--replace-cards)", published
            del files[model_folder.CARD]
        listed = dataclasses.asdict(dataclasses.replace(manifest, card=digest))
        files[model_folder.MANIFEST] = (json.dumps(listed, indent=1) + "\n").encode()
        new = {name: content for name, content in files.items() if there.get(name) != content}
        tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(repository).tags}
        head = api.model_info(repository, timeout=TIMEOUT).sha
        if source.revision in tags and (new or tags[source.revision] != head):
            raise errors.HubError(f"{source} is there already, and differs: publish this one with another --tag")
        if new:
            add = [huggingface_hub.CommitOperationAdd(name, content) for name, content in sorted(new.items())]
            head = api.create_commit(repository, add, commit_message=f"Publish {source.revision}").oid
        if source.revision not in tags:
            api.create_tag(repository, tag=source.revision, revision=head)
    return f"{source}: {f'{len(new)} files uploaded' if new else 'nothing changed'}{kept}"


def _published(api: "huggingface_hub.HfApi", repository: str) -> dict[str, bytes]:
    """Return the files that a repository's main branch holds."""
    info = api.model_info(repository, timeout=TIMEOUT)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    return {
        name: Path(api.hf_hub_download(repository, name, revision=info.sha, cache_dir=_cache())).read_bytes()
        for name in names
    }


def _cached_commit(source: Source) -> str | None:
    if re.fullmatch("[0-9a-f]{40}", source.revision):
        return source.revision
    try:
        text = (_repository(source) / "refs" / source.revision).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{40}", text) else None


def _complete(source: Source, commit: str, wanted: list[str]) -> bool:
    folder = _snapshot(source, commit)
    try:
        listed = model_folder.read_manifest(folder).sha256
    except errors.ModelFolderError:
        return False
    optional = {model_folder.CARD}  # not listed, since people edit it
    return all((folder / name).exists() for name in wanted if name in listed or name in optional)


def _download(source: Source, commit: str | None, wanted: list[str]) -> str:
    """Bring `wanted` into the cache; return the commit that was fetched."""
    import huggingface_hub

    api = huggingface_hub.HfApi()
    with _refusals(source):
        info = api.model_info(source.repository, revision=commit or source.revision, timeout=TIMEOUT)
        there = {sibling.rfilename for sibling in info.siblings or ()}
        if model_folder.MANIFEST not in there:
            raise errors.HubError(
                f"{source} has no {model_folder.MANIFEST}: it is no model that scripts/publish.py uploaded"
            )
        for name in wanted:
            if name in there:
                api.hf_hub_download(source.repository, name, revision=info.sha, cache_dir=_cache())
    return str(info.sha)


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


@contextmanager
def _refusals(source: Source) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence each."""
    import httpx2
    from huggingface_hub import errors as hub

    repository, revision = source.repository, source.revision
    try:
        yield
    except errors.HubError:  # an OSError, too, but already in our words
        raise
    except hub.GatedRepoError:
        problem = f"{repository} is gated: accept its terms on its page, then log in with: hf auth login"
    except hub.RepositoryNotFoundError:
        problem = f"{repository} is not on the Hub, or is private: check the name; log in with: hf auth login"
    except hub.RevisionNotFoundError:
        problem = f"{repository} has no revision {revision!r}: its page lists branches and tags"
    except hub.HfHubHTTPError as answer:
        status = answer.response.status_code
        if status == 401:
            problem = "the Hub refuses the token: log in again with: hf auth login"
        elif status == 403:
            problem = f"the Hub forbids this with the token that is in use: get one that may access {repository}"
        else:
            problem = f"the Hub answers {status} for {source}: try again later"
    except hub.OfflineModeIsEnabled:
        problem = f"{source} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset that variable"
    except (httpx2.TransportError, OSError) as reason:  # of the network, or of the disk
        problem = f"{source} is not in the cache and can't be fetched ({reason}): connect to the network and try again"
    else:
        return
    raise errors.HubError(problem) from None


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _repository(source: Source) -> Path:
    return _cache() / f"models--{source.repository.replace('/', '--')}"


def _snapshot(source: Source, commit: str) -> Path:
    return _repository(source) / "snapshots" / commit


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text)
    unfinished.replace(path)
