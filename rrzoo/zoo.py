"""Finding models by name: in the local zoo, then among those that ship with the package."""

import os
from pathlib import Path

import torch

from rrzoo import errors, model_folder
from rrzoo.model import Model
from rrzoo.recipes import RECIPES

SHIPPED = Path(__file__).parent / "models"


def zoo_root() -> Path:
    """Return where models are exported to and looked for first: $RRZOO_ZOO, else ./zoo."""
    return Path(os.environ.get("RRZOO_ZOO") or "zoo").expanduser()


def load(name: str, device: str | torch.device = "cpu") -> Model:
    """Load a model, in eval mode.

    Args:
        name: a name of `list_models()`, such as "conv4-cifar10"; or "dir:" and the path of a model folder.
        device: where its parameters go.

    Raises:
        errors.UnknownModelError: no model of that name is at hand; the message offers close matches.
        errors.ModelFolderError: its folder is incomplete, damaged or of another format.
    """
    if name.startswith("dir:"):
        return model_folder.load(Path(name.removeprefix("dir:")), device)
    folders = _folders()
    if name not in folders:
        train = f". Train it with: python scripts/train.py {name}" if name in RECIPES else ""
        raise errors.UnknownModelError(f"no model called {name!r} is at hand: {errors.choices(name, folders)}{train}")
    return model_folder.load(folders[name], device)


def list_models() -> dict[str, str]:
    """Return the models at hand: name -> one line about it."""
    lines = {}
    for name, folder in _folders().items():
        try:
            config = model_folder.read_config(folder)
        except errors.ModelFolderError as problem:
            lines[name] = f"can't be read: {problem}"
            continue
        parts = [f"{config.architecture.backbone}, {config.architecture.image_size} px"]
        if config.training:
            parts.append(f"trained without labels on {config.training.data}")
        if config.evaluation:
            parts.append(f"linear probe {config.evaluation.linear_probe:.1%} on {config.evaluation.data}")
        lines[name] = "; ".join(parts)
    return lines


def _folders() -> dict[str, Path]:
    """Return name -> folder, the local zoo before the package."""
    found: dict[str, Path] = {}
    for root in (SHIPPED, zoo_root()):
        configs = root.glob(f"[!.]*/{model_folder.CONFIG}")  # a dot marks what is not finished
        found |= {path.parent.name: path.parent for path in configs}
    return dict(sorted(found.items()))
