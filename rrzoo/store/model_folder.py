"""Model folders: one model as files, the same on disk, in the package and on the Hub.

    config.json         what the model is and how it was trained: `config.ModelConfig`
    model.safetensors   backbone.*, and of models that have them relation_head.* and probe.*
    golden.safetensors  a fixed input and its outputs: `store.golden`
    evaluation.json     what was measured of it, if anything was: `measured.Evaluations`
    README.md           the model card, made from config.json and evaluation.json alone
    manifest.json       SHA-256 of every other file but the card and the log
    gallery/            a gallery, where there is one: see `rrzoo.gallery.storage`

Nothing here is a pickle. What inference needs is read strictly: what is missing, unknown or of another shape is
refused. Version 0.1.0 kept the figures of the export in config.json (`store.format_1`), and a gallery beside it, which
is no longer read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rrzoo import errors, files, records
from rrzoo.config import FORMAT, ModelConfig
from rrzoo.gallery import storage

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
GOLDEN = "golden.safetensors"
EVALUATION = "evaluation.json"
CARD = "README.md"
MANIFEST = "manifest.json"
LOADED = (CONFIG, WEIGHTS, EVALUATION, CARD)  # what `load` reads, and the card
MANIFEST_FORMAT = 2  # 1 lists no file of gallery/

NAME = r"[A-Za-z0-9][\w.-]*"
LISTED = re.compile(rf"({storage.FOLDER}/)?{NAME}", re.ASCII)


@dataclass(frozen=True)
class ModelManifest:
    """All of `manifest.json`. The card is not listed, since people edit it."""

    sha256: dict[str, str]  # file name, or gallery/ and a file name -> digest
    card: str = ""  # digest of the card as it was published: another one was edited since
    format: int = MANIFEST_FORMAT

    def __post_init__(self) -> None:
        """Refuse a list without a model, and names of files elsewhere."""
        if absent := sorted({CONFIG, WEIGHTS} - self.sha256.keys()):
            raise errors.ArgumentError(f"it does not list {absent[0]}")
        for name in self.sha256:
            if not LISTED.fullmatch(name):
                raise errors.ArgumentError(
                    f"it lists {name!r:.60}: only names of files in its own folder are allowed, or in {storage.FOLDER}/"
                )

    @property
    def gallery(self) -> list[str]:
        """Names of the gallery's files."""
        return [name for name in self.sha256 if name.startswith(f"{storage.FOLDER}/")]


def read_config(folder: Path) -> ModelConfig:
    """Read config.json alone.

    Raises:
        errors.ModelFolderError: it is missing, no JSON, of another format, or says not clearly what inference needs.
    """
    path = folder / CONFIG
    try:
        return records.from_dict(ModelConfig, records.read(path, FORMAT))
    except FileNotFoundError:
        raise errors.ModelFolderError(f"{folder} has no {CONFIG}: it is not a model folder") from None
    except (OSError, errors.ArgumentError) as problem:
        raise errors.ModelFolderError(f"{path} can't be read: {problem}") from None


def write_manifest(folder: Path) -> None:
    """Write the SHA-256 of the folder's files to manifest.json."""
    names = [CONFIG, WEIGHTS, GOLDEN, EVALUATION]
    names += [f"{storage.FOLDER}/{name}" for name in storage.files(folder / storage.FOLDER)]
    digests = {name: files.sha256(folder / name) for name in names if (folder / name).exists()}
    files.write(folder / MANIFEST, records.to_json(ModelManifest(digests)))


def read_manifest(folder: Path) -> ModelManifest:
    """Read manifest.json.

    Raises:
        errors.ModelFolderError: it is missing or damaged, lists no config.json or no weights, or files elsewhere.
    """
    path = folder / MANIFEST
    try:
        return records.from_dict(ModelManifest, records.read(path, MANIFEST_FORMAT))
    except (OSError, errors.ArgumentError) as problem:
        raise errors.ModelFolderError(f"{path} can't be read: {problem}") from None


def altered(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Return those of `names` (default: all) that manifest.json lists and that are missing or have another SHA-256.

    Raises:
        errors.ModelFolderError: manifest.json is missing or damaged.
    """
    listed = read_manifest(folder).sha256
    checked = listed if names is None else [name for name in names if name in listed]
    return [name for name in checked if not (folder / name).is_file() or files.sha256(folder / name) != listed[name]]
