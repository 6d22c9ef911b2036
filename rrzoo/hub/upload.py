"""Models and the demo are uploaded, each in one commit, and only what changed."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rrzoo import errors
from rrzoo.files import sha256
from rrzoo.gallery import storage
from rrzoo.hub import client
from rrzoo.hub.source import Source
from rrzoo.store import golden, model_folder

if TYPE_CHECKING:
    import huggingface_hub

SPACE_FIELDS = ("title", "sdk", "sdk_version", "python_version", "app_file")  # of a README, that a Space needs
UNREACHABLE = "can't be published"


def publish(
    folder: Path, source: Source, private: bool = False, dry_run: bool = False, replace_card: bool = False
) -> str:
    """Upload a model folder in one commit, and tag it with the source's revision; where nothing changed, do nothing.

    Only what the manifest lists is uploaded, with manifest and card; of a gallery, what the manifest no longer lists
    is deleted there. A card that was edited on the Hub stays, unless `replace_card`. So does a newer commit.

    Returns:
        a line about what was done.

    Raises:
        errors.ModelFolderError: the folder is not as it was exported.
        errors.HubError: the Hub can't be reached or refuses; or the tag is there, at another commit; or someone else
            has committed meanwhile.
    """
    import huggingface_hub

    golden.verify(folder, golden.OTHER_CPU_TOLERANCE)
    if changed := model_folder.altered(folder):
        raise errors.ModelFolderError(f"{folder}: {', '.join(changed)} changed since the export: export it again")
    manifest = model_folder.read_manifest(folder)
    card = (folder / model_folder.CARD).read_bytes()
    files = {name: (folder / name).read_bytes() for name in manifest.sha256} | {model_folder.CARD: card}
    if dry_run:
        sizes = ", ".join(f"{name} ({len(content):,} bytes)" for name, content in files.items())
        return f"would upload to {source}: {model_folder.MANIFEST}, {sizes}"
    api, repository, kept = huggingface_hub.HfApi(), source.repository, ""
    with client.refusals(source, UNREACHABLE):
        _create(api, repository, "model", private)
        head, there = _published(api, repository)
        digest = sha256(card)
        old = there.get(model_folder.MANIFEST)
        published = str(json.loads(old).get("card", "")) if old else ""
        online = there.get(model_folder.CARD)
        if online is not None and not replace_card and sha256(online) not in (published, digest):
            kept, digest = "; its card was edited there and stays (--replace-cards)", published
            del files[model_folder.CARD]
        listed = dataclasses.asdict(dataclasses.replace(manifest, card=digest))
        files[model_folder.MANIFEST] = (json.dumps(listed, indent=1) + "\n").encode()
        new = {name: content for name, content in files.items() if there.get(name) != content}
        stale = {name for name in there if _is_of_gallery(name)} - files.keys()
        tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(repository).tags}
        if source.revision in tags and (new or stale or tags[source.revision] != head):
            raise errors.HubError(f"{source} is there already, and differs: publish this one with another --tag")
        if new or stale:
            head = _commit(api, repository, "model", f"Publish {source.revision}", head, new, stale)
        if source.revision not in tags:
            api.create_tag(repository, tag=source.revision, revision=head)
    return f"{source}: {f'{len(new)} files uploaded' if new else 'nothing changed'}{kept}"


def publish_space(
    files: Mapping[str, bytes], repository: str, models: Iterable[str], private: bool = False, dry_run: bool = False
) -> str:
    """Upload the demo as a Space in one commit; where nothing changed, do nothing.

    A Space is a copy: what differs there is replaced, and what `files` no longer has is deleted in the folders that
    they use. Files elsewhere stay.

    Args:
        files: path in the Space -> content; README.md begins with the front matter that Spaces read.
        repository: owner/name.
        models: repositories of the models that the demo shows, which the front matter then lists.
        private: create a private Space.
        dry_run: only say what would be uploaded.

    Returns:
        a line about what was done.

    Raises:
        errors.ArgumentError: the front matter lacks what Spaces need, or names an app that is not among the files.
        errors.HubError: the Hub can't be reached or refuses; or someone else has committed meanwhile.
    """
    import huggingface_hub

    source = Source(repository)
    files = {**files, model_folder.CARD: _space_card(files, models)}
    if dry_run:
        size = sum(map(len, files.values()))
        names = ", ".join(sorted(files))
        return f"would upload to the Space {repository} {len(files)} files ({size:,} bytes): {names}"
    api = huggingface_hub.HfApi()
    with client.refusals(source, UNREACHABLE):
        _create(api, repository, "space", private)
        head = str(api.space_info(repository).sha)
        listed = api.list_repo_tree(repository, recursive=True, revision=head, repo_type="space")
        online = {file.path: file for file in listed if isinstance(file, huggingface_hub.hf_api.RepoFile)}
        new = {path: content for path, content in files.items() if not _same(online.get(path), content)}
        folders = {path.split("/")[0] for path in files if "/" in path}
        stale = {path for path in online if path.split("/")[0] in folders} - files.keys()
        if new or stale:
            _commit(api, repository, "space", "Publish the demo", head, new, stale)
    done = f"{len(new)} files uploaded, {len(stale)} deleted" if new or stale else "nothing changed"
    return f"the Space {repository}: {done}"


def _space_card(files: Mapping[str, bytes], models: Iterable[str]) -> bytes:
    """Return README.md with `models` in its front matter."""
    import huggingface_hub
    import yaml

    try:
        card = huggingface_hub.SpaceCard(files[model_folder.CARD].decode())
    except (ValueError, yaml.YAMLError) as problem:
        reason = " ".join(str(problem).split())
        raise errors.ArgumentError(f"the front matter of {model_folder.CARD} can't be read: {reason}") from None
    if lacking := [field for field in SPACE_FIELDS if not card.data.get(field)]:
        raise errors.ArgumentError(f"the front matter of {model_folder.CARD} lacks {', '.join(lacking)}")
    if card.data["app_file"] not in files:
        raise errors.ArgumentError(f"app_file is {card.data['app_file']!r}, which is none of the files")
    card.data["models"] = sorted(models)
    return str(card).encode()


def _same(online: "huggingface_hub.hf_api.RepoFile | None", content: bytes) -> bool:
    """Compare as git and git-lfs do, by hash."""
    if online is None:
        return False
    if online.lfs is not None:
        return online.lfs.sha256 == sha256(content)
    return online.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _create(api: "huggingface_hub.HfApi", repository: str, kind: str, private: bool) -> None:
    """Create a repository unless it is there. The first request of each upload: a silent Hub shows here."""
    watch = client.Watch()
    watch.allow(client.SILENCE)
    sdk = "gradio" if kind == "space" else None
    watch.run(lambda: api.create_repo(repository, repo_type=kind, space_sdk=sdk, private=private, exist_ok=True))


def _commit(
    api: "huggingface_hub.HfApi",
    repository: str,
    kind: str,
    message: str,
    parent: str,
    new: Mapping[str, bytes],
    stale: Iterable[str],
) -> str:
    """Upload `new` and delete `stale` in one commit that follows `parent`; return its name."""
    import huggingface_hub

    add = [huggingface_hub.CommitOperationAdd(path, new[path]) for path in sorted(new)]
    delete = [huggingface_hub.CommitOperationDelete(path) for path in sorted(stale)]
    try:
        commit = api.create_commit(
            repository, [*add, *delete], commit_message=message, repo_type=kind, parent_commit=parent
        )
        return commit.oid
    except ValueError as problem:  # the Hub has read the card
        raise errors.HubError(f"the Hub refuses this upload: {' '.join(str(problem).split())}") from None


def _published(api: "huggingface_hub.HfApi", repository: str) -> tuple[str, dict[str, bytes]]:
    """Return the commit that a repository's main branch is at, and the files that it holds."""
    info = api.model_info(repository)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    contents = {name: Path(api.hf_hub_download(repository, name, revision=info.sha)).read_bytes() for name in names}
    return str(info.sha), contents


def _is_of_gallery(name: str) -> bool:
    return name.startswith(f"{storage.FOLDER}/") or name in storage.FORMAT_1
