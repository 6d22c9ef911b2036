"""WebDataset (Aizman, Maltby & Breuel 2019): a shard is a tar file of `KEY.jpg` and perhaps `KEY.cls`, the label."""

import tarfile
from collections.abc import Iterator

from rrzoo import images
from rrzoo.gallery.remote.addresses import Range, open_address
from rrzoo.gallery.sources import Picture, Stamp

SUFFIX = ".tar"


def of_shard(address: str, path: str, name: str, stamp: Stamp) -> Iterator[Picture]:
    """List the pictures of a shard; `name` begins their sources."""
    filesystem, _ = open_address(address)
    labels: dict[str, str] = {}
    members: list[tuple[str, tarfile.TarInfo]] = []
    with filesystem.open_input_file(path) as file, tarfile.open(fileobj=file, mode="r:") as shard:
        for member in filter(tarfile.TarInfo.isreg, shard):
            key, _, suffix = member.name.partition(".") if "/" not in member.name else _split(member.name)
            if suffix == "cls" and member.size <= 1000:
                label = shard.extractfile(member)
                labels[key] = label.read().decode("utf-8", "replace").strip() if label else ""
            elif f".{suffix.rpartition('.')[2].lower()}" in images.SUFFIXES:
                members.append((key, member))
    for key, member in members:
        source = f"{name}/{member.name}"
        where = Range(address, path, member.offset_data, member.size)
        yield Picture(source, (member.size, stamp[1]), labels.get(key), source, where)


def _split(name: str) -> tuple[str, str, str]:
    """Return what of a member's path is its key, and its suffixes: from the first dot of the file's name on."""
    folder, _, last = name.rpartition("/")
    key, dot, suffix = last.partition(".")
    return f"{folder}/{key}", dot, suffix
