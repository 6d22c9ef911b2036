"""Model folders: one model as files, the same on disk, in the package and on the Hub.

    config.json         architecture, recipe, measured figures: `recipes.ModelConfig`
    model.safetensors   backbone.*, and of models that have them relation_head.* and probe.*
    golden.safetensors  a fixed input and its outputs
    evaluation.json     what scripts/evaluate.py measured, where it did: `reports.Reports`
    README.md           the model card, made from config.json and evaluation.json alone
    manifest.json       SHA-256 of every other file but the card and the log
    gallery/            a gallery, where there is one: see `rrzoo.gallery.storage`

Nothing here is a pickle. A folder is read strictly: what is missing, unknown or of another shape is refused.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from rrzoo import errors
from rrzoo.config import FORMAT, ModelConfig, from_dict
from rrzoo.gallery import Gallery, storage
from rrzoo.model import Model
from rrzoo.store import card

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
GOLDEN = "golden.safetensors"
EVALUATION = "evaluation.json"
CARD = "README.md"
MANIFEST = "manifest.json"
LOADED = (CONFIG, WEIGHTS, CARD)  # what `load` reads, and the card
LISTED = rf"({storage.FOLDER}/)?[A-Za-z0-9][\w.-]*"  # names in manifest.json
GOLDEN_IMAGES = 8
GOLDEN_TOLERANCE = 1e-5  # between runs on one kind of CPU
OTHER_CPU_TOLERANCE = 1e-4  # elsewhere, where sums are formed in another order


@dataclass(frozen=True)
class Manifest:
    """All of `manifest.json`. The card is not listed, since people edit it."""

    sha256: dict[str, str]  # file name -> digest
    card: str = ""  # digest of the card as it was published: another one was edited since
    format: int = FORMAT


def save(model: Model, folder: Path, gallery: Gallery | None = None) -> None:
    """Write a model folder, whole or not at all.

    Raises:
        errors.ModelFolderError: there is something at `folder` already.
    """
    if folder.exists():
        raise errors.ModelFolderError(f"{folder} is already there: move it away, or export to another place")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (unfinished / CONFIG).write_text(json.dumps(dataclasses.asdict(model.config), indent=1) + "\n")
        (unfinished / CARD).write_text(card.render(model.config))
        tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
        (unfinished / WEIGHTS).write_bytes(save_tensors(tensors))
        images = golden_images(model.config.architecture.image_size)
        (unfinished / GOLDEN).write_bytes(save_arrays({"images": images, **golden_outputs(model, images)}))
        if gallery is not None:
            gallery.save(unfinished / storage.FOLDER)
        write_manifest(unfinished)
        unfinished.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load(folder: Path, device: str | torch.device = "cpu") -> Model:
    """Read a model folder; the model is in eval mode.

    Raises:
        errors.ModelFolderError: the folder or a file is missing, damaged, or not what config.json describes.
    """
    if not folder.is_dir():
        raise errors.ModelFolderError(f"{folder} is not a folder: name one that holds {CONFIG} and {WEIGHTS}")
    config = read_config(folder)
    try:
        with torch.random.fork_rng(devices=[]):  # the random weights to be replaced cost no one their random numbers
            model = Model(config, folder)
        model.load_state_dict(_finite(load_file(folder / WEIGHTS)), strict=True)
    except FileNotFoundError:
        raise errors.ModelFolderError(f"{folder} has no {WEIGHTS}: fetch or export the model again") from None
    except errors.ArgumentError as problem:  # of the architecture
        raise errors.ModelFolderError(f"{folder / CONFIG}: {problem}") from None
    except (SafetensorError, OSError) as problem:
        raise errors.ModelFolderError(
            f"{folder / WEIGHTS} is cut short or no safetensors file ({problem}): fetch or export it again"
        ) from None
    except (RuntimeError, ValueError) as problem:
        first = str(problem).splitlines()[-1].strip()
        raise errors.ModelFolderError(
            f"{folder / WEIGHTS} does not fit {CONFIG} ({first}): the two are not of one model"
        ) from None
    return model.to(device)


def read_config(folder: Path) -> ModelConfig:
    """Read config.json alone.

    Raises:
        errors.ModelFolderError: it is missing, no JSON, of another format, or has unknown or missing fields.
    """
    path = folder / CONFIG
    try:
        data = json.loads(path.read_bytes())
        if isinstance(data, dict) and data.get("format", FORMAT) != FORMAT:
            raise errors.ArgumentError(f"it is of format {data['format']}, this version reads {FORMAT}: upgrade rrzoo")
        return from_dict(ModelConfig, data)
    except FileNotFoundError:
        raise errors.ModelFolderError(f"{folder} has no {CONFIG}: it is not a model folder") from None
    except (OSError, ValueError) as problem:  # JSON and Unicode errors and our ArgumentError are ValueErrors
        raise errors.ModelFolderError(f"{path} can't be read: {problem}") from None


def write_manifest(folder: Path) -> None:
    """Write the SHA-256 of the folder's files to manifest.json."""
    gallery = [f"{storage.FOLDER}/{name}" for name in storage.files(folder / storage.FOLDER)]
    names = (CONFIG, WEIGHTS, GOLDEN, EVALUATION, *gallery)
    digests = {name: _sha256(folder / name) for name in names if (folder / name).exists()}
    (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(Manifest(digests)), indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json.

    Raises:
        errors.ModelFolderError: it is missing or damaged, or lists no config.json or no weights.
    """
    path = folder / MANIFEST
    try:
        manifest = from_dict(Manifest, json.loads(path.read_bytes()))
    except (OSError, ValueError) as problem:
        raise errors.ModelFolderError(f"{path} can't be read: {problem}") from None
    if manifest.format != FORMAT or not {CONFIG, WEIGHTS} <= manifest.sha256.keys():
        raise errors.ModelFolderError(f"{path} is of another format or lists neither {CONFIG} nor {WEIGHTS}")
    if paths := [name for name in manifest.sha256 if not re.fullmatch(LISTED, name, re.ASCII)]:
        raise errors.ModelFolderError(f"{path} lists {paths[0]!r}: only names of files in its own folder are allowed")
    return manifest


def altered(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Return those of `names` (default: all) that manifest.json lists and that are missing or have another SHA-256.

    Raises:
        errors.ModelFolderError: manifest.json is missing or damaged.
    """
    listed = read_manifest(folder).sha256
    checked = listed if names is None else [name for name in names if name in listed]
    return [name for name in checked if not (folder / name).is_file() or _sha256(folder / name) != listed[name]]


def golden_images(size: int) -> np.ndarray:
    """Return fixed synthetic images, uint8 (8, S, S, 3): coloured blobs, no photographs."""
    coarse = np.random.default_rng(20200610).integers(0, 256, (GOLDEN_IMAGES, 3, 6, 6)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=(size, size), mode="bilinear")
    return smooth.round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def golden_outputs(model: Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return all that a model can say of images: features, relation scores of neighbours, probabilities."""
    outputs = {"features": model.features(images)}
    if model.has_relation_head:
        outputs["relation"] = model.relate(images[:-1], images[1:])
    if model.classes:
        outputs["probabilities"] = model.classify(images)
    return outputs


def verify(folder: Path, tolerance: float = GOLDEN_TOLERANCE) -> float:
    """Compare the model's outputs with those stored when it was exported.

    Returns:
        the largest absolute difference.

    Raises:
        errors.ModelFolderError: the stored outputs are missing or damaged, or differ by more than `tolerance`.
    """
    model = load(folder)
    try:
        golden = load_arrays(folder / GOLDEN)
        outputs = golden_outputs(model, golden.pop("images"))
        worst = max(float(np.abs(outputs[name] - expected).max()) for name, expected in golden.items())
    except (OSError, SafetensorError, KeyError, ValueError) as problem:
        raise errors.ModelFolderError(f"{folder / GOLDEN} is missing or damaged ({problem})") from None
    if not worst <= tolerance:
        raise errors.ModelFolderError(
            f"{folder} computes outputs that differ by {worst:.2g} from those stored with it: "
            f"its files are not of one export, or this machine computes otherwise (allowed: {tolerance:g})"
        )
    return worst


def _finite(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds values that are not finite")
    return tensors


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
