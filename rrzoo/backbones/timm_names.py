"""Names of backbones that timm has (Wightman 2019), and what it knows of their weights; its only user.

"timm:NAME" or "timm:NAME.TAG" names one: timm's name of an architecture, and which of its weights are meant. What
those weights were trained with, such as size and normalisation of pictures, is timm's `pretrained_cfg`.
"""

import difflib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from rrzoo import errors
from rrzoo.backbones import efficientnet_lite
from rrzoo.backbones.efficientnet_lite import EfficientNetLite0

PREFIX = "timm:"
TORCHVISION = "torchvision:"  # what a name may begin with that people try: timm has the same weights
OLDEST = (1, 0, 22)  # version of timm, the first that knows the licences of weights


@dataclass(frozen=True)
class Preparation:
    """What the weights of a name were trained with, and where they are."""

    image_size: int  # px
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop: float  # share of the side of the centre square
    tag: str  # of the weights; "": timm knows none
    licence: str  # of the weights; "": not stated
    repository: str  # on the Hub, owner/name; "": not there
    file: str  # in it


def preparation(name: str) -> Preparation:
    """Return what timm knows of a name's weights.

    Raises:
        errors.ArgumentError: as for `look_up`.
    """
    _, config = look_up(name)
    return Preparation(
        image_size=config["input_size"][1],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic",
        crop=float(config["crop_pct"] or 1.0),
        tag=config.get("tag") or "",
        licence=config.get("license") or "",
        repository=(config.get("hf_hub_id") or "").partition("@")[0],
        file=config.get("hf_hub_filename") or "model.safetensors",
    )


def is_borrowed(name: str) -> bool:
    """Say whether a backbone's name is one of timm's."""
    return name.startswith(PREFIX)


def of_torchvision(name: str) -> str:
    """Say under which of timm's names the weights of torchvision are that "torchvision:NAME" asks for."""
    architecture = name.removeprefix(TORCHVISION)
    known = [one for one in _timm().list_pretrained() if one.partition(".")[2].startswith("tv")]
    found = [one for one in known if one.partition(".")[0] == architecture]
    close = found or difflib.get_close_matches(architecture, known, cutoff=0.5)
    if close:
        return f"write {' or '.join(PREFIX + one for one in close)}"
    return "timm has none of that name; to list: python -c 'import timm; print(timm.list_pretrained())'"


def look_up(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return what builds a model of timm's with its classifier, and timm's `pretrained_cfg` of it.

    Raises:
        errors.ArgumentError: timm is missing or too old, or knows no such name; or the model takes no RGB pictures.
    """
    full = name.removeprefix(PREFIX)
    if full in efficientnet_lite.NAMES:
        return EfficientNetLite0, EfficientNetLite0.pretrained_cfg
    timm = _timm()
    if not re.fullmatch(r"\w+(\.\w+)?", full, re.ASCII):  # timm would take others for addresses and folders
        raise errors.ArgumentError(f"{name!r:.80} is no name of timm's: write timm:NAME or timm:NAME.TAG")
    architecture, _, tag = full.partition(".")
    if not timm.is_model(architecture):
        raise errors.ArgumentError(f"timm {timm.__version__} knows no {full!r}: {_close(full, timm.list_models())}")
    tags = [known for known in timm.list_pretrained(f"{architecture}.*") if known.partition(".")[0] == architecture]
    if tag and full not in tags:
        raise errors.ArgumentError(f"timm {timm.__version__} knows no weights {full!r}: {_close(full, tags)}")
    found = timm.get_pretrained_cfg(full)
    config = found.to_dict() if found else {}
    channels, height, width = config.get("input_size", (0, 0, 0))
    if channels != 3 or height != width:
        raise errors.ArgumentError(
            f"{name} takes pictures of {channels} channels, {height} x {width} px: square pictures in red, green and "
            "blue are needed"
        )
    return partial(timm.create_model, full), config


def _timm() -> ModuleType:
    if importlib.util.find_spec("timm") is None:
        raise errors.ArgumentError("borrowed backbones need the package timm: pip install 'rrzoo[timm]'")
    import timm  # slow to import, and of use to borrowed backbones only

    numbers = tuple(int(number) for number in re.findall(r"\d+", timm.__version__)[:3])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise errors.ArgumentError(
            f"timm {timm.__version__} is installed, {oldest} or newer is needed: pip install --upgrade timm"
        )
    found: ModuleType = timm
    return found


def _close(name: str, known: list[str]) -> str:
    """Offer names that are close, out of more than a thousand."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(PREFIX + one for one in close)}?"
    return f"{len(known):,} are known, to list with: python -c 'import timm; print(timm.list_models())'"
