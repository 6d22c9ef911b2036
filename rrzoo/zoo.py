"""Finding models by name: in the local zoo, then among those that ship with the package, then on the Hub."""

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from rrzoo import datasets, devices, errors, hub
from rrzoo.config import ModelConfig
from rrzoo.gallery import Gallery, shelf, storage, stores
from rrzoo.measured import Evaluation
from rrzoo.model import Model
from rrzoo.progress import OnProgress
from rrzoo.recipes import RECIPES
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.load import load as load_folder

SHIPPED = Path(__file__).parent / "models"
PHOTOGRAPHS, OTHERS, COMPARISON = "for photographs", "others", "comparison of tasks"  # headings of `groups`
PHOTOGRAPHS_MEASURED = "stl10"  # the data set whose accuracy says what a model is worth on photographs
FALLBACK = "conv4-cifar10"

T = TypeVar("T")


def zoo_root() -> Path:
    """Return where models are exported to and looked for first: $RRZOO_ZOO, else ./zoo."""
    return Path(os.environ.get("RRZOO_ZOO") or "zoo").expanduser()


def load(name: str, device: str | torch.device = "cpu") -> Model:
    """Load a model, in eval mode.

    Args:
        name: a name of `list_models()`, such as "conv4-cifar10", or else of a repository of $RRZOO_HUB_OWNER on the
            Hugging Face Hub; "name@revision", there; "hub:owner/repository" or "hub:owner/repository@revision"; or
            "dir:" and the path of a model folder. What is in the Hub's cache is used without any request.
        device: that computes: "cpu", "cuda", "cuda:N", "mps"; or "auto", a GPU where there is one.

    Raises:
        errors.ArgumentError: the device is not there.
        errors.UnknownModelError: no model of that name is at hand; the message offers close matches.
        errors.HubError: the Hub can't be reached, refuses, or sends broken files.
        errors.ModelFolderError: its folder is incomplete, damaged or of another format.
    """
    if isinstance(device, str):
        device = devices.pick(device).where
    place = _find(name)
    if isinstance(place, hub.Source):
        return _from_hub(name, lambda: _load_from_hub(place, device))
    return load_folder(place, device)


def whole_folder(name: str) -> Path:
    """Return the folder of a model with all the files that its manifest lists; what `name` is, `load` says.

    Raises:
        errors.UnknownModelError: no model of that name is at hand.
        errors.HubError: the Hub can't be reached, refuses, or sends broken files.
        errors.ModelFolderError: its manifest can't be read.
    """
    place = _find(name)
    if not isinstance(place, hub.Source):
        return place
    manifest = _from_hub(name, lambda: hub.fetch(place, model_folder.LOADED))
    listed = model_folder.read_manifest(manifest).sha256
    return hub.fetch(replace(place, revision=manifest.name), [*listed, model_folder.CARD])


def _find(name: str) -> Path | hub.Source:
    """Say what a name means, without a request."""
    if name.startswith("hub:"):
        return hub.Source.parse(name.removeprefix("hub:"))
    if name.startswith("dir:"):
        return Path(name.removeprefix("dir:")).expanduser()
    folders = _folders()
    if name in folders:
        return folders[name]
    owner = os.environ.get("RRZOO_HUB_OWNER")
    if owner and re.fullmatch(r"[\w.-]+(@.+)?", name):
        try:
            return hub.Source.parse(f"{owner}/{name}")
        except errors.ArgumentError as problem:
            raise _unknown(name, f" On the Hub: {problem}.") from None
    hint = " A revision is looked for on the Hub: set RRZOO_HUB_OWNER to the owner of the models there."
    raise _unknown(name, hint if "@" in name else "")


def _from_hub(name: str, action: Callable[[], T]) -> T:
    """Do what needs the Hub; where that fails for a name of $RRZOO_HUB_OWNER, say what is at hand, too."""
    try:
        return action()
    except errors.HubError as problem:
        if name.startswith("hub:"):
            raise
        raise _unknown(name, f" On the Hub: {problem}.") from None


def _unknown(name: str, remark: str) -> errors.UnknownModelError:
    bare = name.partition("@")[0]
    train = f". Train it with: python -m rrzoo train {bare}" if bare in RECIPES else ""
    return errors.UnknownModelError(
        f"no model called {name!r} is at hand: {errors.choices(bare, _folders())}{train}.{remark}"
    )


def _load_from_hub(source: hub.Source, device: str | torch.device) -> Model:
    folder = hub.fetch(source, model_folder.LOADED)
    model = load_folder(folder, device)
    files = model_folder.read_manifest(folder).gallery
    model.fetch_gallery = functools.partial(hub.fetch, replace(source, revision=folder.name), files)
    return model


def find(name: str) -> Path:
    """Return the folder of a model in the local zoo or in the package.

    Raises:
        errors.UnknownModelError: there is none of that name.
    """
    folders = _folders()
    if name not in folders:
        raise errors.UnknownModelError(f"no model called {name!r} is at hand: {errors.choices(name, folders)}")
    return folders[name]


def list_models() -> dict[str, str]:
    """Return the models at hand: name -> one line about it; those for photographs first, see `groups`."""
    return {name: line for group in groups().values() for name, line in group.items()}


def groups() -> dict[str, dict[str, str]]:
    """Return the models at hand by what they are for: heading -> name -> one line about it.

    Those whose probe was measured on STL-10's photographs come first, the most accurate one at their head; then the
    others, by name; then those whose recipes compare pretext tasks on one budget, and whose names end with their task.
    """
    rated: dict[str, float] = {}
    lines: dict[str, dict[str, str]] = {PHOTOGRAPHS: {}, OTHERS: {}, COMPARISON: {}}
    for name, folder in _folders().items():
        try:
            config = model_folder.read_config(folder)
        except errors.ModelFolderError as problem:
            lines[OTHERS][name] = f"can't be read: {problem}"
            continue
        measured = evaluation_file.known(folder, config)
        if name in RECIPES and name.endswith(f"-{RECIPES[name].pretext}"):
            group = COMPARISON
        elif (on_photographs := measured.get(PHOTOGRAPHS_MEASURED)) is not None:
            group, rated[name] = PHOTOGRAPHS, on_photographs.linear_probe
        else:
            group = OTHERS
        lines[group][name] = _line(config, measured)
    lines[PHOTOGRAPHS] = dict(sorted(lines[PHOTOGRAPHS].items(), key=lambda item: -rated[item[0]]))
    return {heading: group for heading, group in lines.items() if group}


def _line(config: ModelConfig, measured: Mapping[str, Evaluation]) -> str:
    parts = [f"{config.architecture.backbone}, {config.architecture.image_size} px"]
    if config.training:
        parts.append(config.training.origin)
    for evaluation in measured.values():
        if evaluation.shipped_probe:
            parts.append(f"linear probe {evaluation.linear_probe:.1%} on {evaluation.images}")
    return "; ".join(parts)


def best_model() -> str:
    """Return the name of the model that a newcomer meets: the one whose own probe is the most accurate on STL-10.

    Where no model has such a probe, it is conv4-cifar10.
    """
    best, most = FALLBACK, 0.0
    for name, folder in _folders().items():
        try:
            own = evaluation_file.own(folder, model_folder.read_config(folder))
        except errors.ModelFolderError:
            continue
        if own is not None and own.dataset == PHOTOGRAPHS_MEASURED and own.linear_probe > most:
            best, most = name, own.linear_probe
    return best


def gallery_folder(model: str, gallery: str) -> Path:
    """Return where a model's gallery of that name is kept."""
    return zoo_root() / ".galleries" / model / gallery  # a dot marks what is no model


def open_gallery(model: Model, gallery: str | os.PathLike[str], progress: OnProgress | None = None) -> Gallery:
    """Open a gallery for a model.

    Args:
        model: whose features are searched.
        gallery: the name of one that `python -m rrzoo index` built; clay10; the folder of a saved gallery; the address
            of a store, such as lance:FOLDER; or a folder of images, which is indexed as that command does: what is
            known of it already is not read again.
        progress: called before the first batch of images that is indexed, and after each.

    Raises:
        errors.GalleryError: there is none, or it is damaged or of another model.
    """
    if stores.is_store(gallery):
        return stores.open_gallery(model, gallery)
    saved = _saved_gallery(model.name, gallery)
    if saved is not None:
        return Gallery.load(model, saved)
    if os.fspath(gallery) == "clay10":
        return Gallery.build(model, datasets.load("clay10", "test"), progress)
    if Path(gallery).is_dir():
        shelved = gallery_folder(model.name, "")
        return Gallery.index_folder(model, gallery, shelved / shelf.name_for(shelved, gallery), progress)
    raise _unknown_gallery(model.name, os.fspath(gallery))


def find_gallery(model: str, gallery: str | os.PathLike[str]) -> Path:
    """Return the folder of a saved gallery: one that `python -m rrzoo index` built, by its name, or any, by its folder.

    Raises:
        errors.GalleryError: there is none.
    """
    found = _saved_gallery(model, gallery)
    if found is None:
        raise _unknown_gallery(model, os.fspath(gallery))
    return found


def _saved_gallery(model: str, gallery: str | os.PathLike[str]) -> Path | None:
    name, folder = os.fspath(gallery), Path(gallery)
    if folder.name == name and storage.is_gallery(gallery_folder(model, name)):  # a name, not a path
        return gallery_folder(model, name)
    return folder if storage.is_gallery(folder) else None


def _unknown_gallery(model: str, name: str) -> errors.GalleryError:
    saved = sorted(path.name for path in gallery_folder(model, "").glob("*") if storage.is_gallery(path))
    return errors.GalleryError(
        f"no gallery {name!r} of {model} is at hand, and no folder of that name: "
        f"{errors.choices(name, ['clay10', *saved])}. Build one with: python -m rrzoo index {name} --model {model}"
    )


def _folders() -> dict[str, Path]:
    """Return name -> folder, the local zoo before the package."""
    found: dict[str, Path] = {}
    for root in (SHIPPED, zoo_root()):
        configs = root.glob(f"[!.]*/{model_folder.CONFIG}")  # a dot marks what is not finished
        found |= {path.parent.name: path.parent for path in configs}
    return dict(sorted(found.items()))
