"""From a model folder to a model."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from rrzoo import errors, files, weights
from rrzoo.backbones import BorrowedBackbone
from rrzoo.config import PackagedWeights
from rrzoo.model import Model
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.model_folder import CONFIG, WEIGHTS


def load(folder: Path, device: str | torch.device = "cpu") -> Model:
    """Read a model folder; the model is in eval mode.

    Raises:
        errors.ModelFolderError: the folder or a file is missing, damaged, or not what config.json describes.
    """
    if not folder.is_dir():
        raise errors.ModelFolderError(f"{folder} is not a folder: name one that holds {CONFIG} and {WEIGHTS}")
    config = model_folder.read_config(folder)
    try:
        files.check_regular(folder / WEIGHTS)
        shapes = _shapes(folder / WEIGHTS)
        size = config.architecture.embedding_size
        if size is not None and shapes.get("embedding.weight", ("", []))[1][:1] != [
            size
        ]:  # before so much memory is taken
            raise ValueError(f"embedding_size is {size}, embedding.weight is {shapes.get('embedding.weight')}")
        with torch.random.fork_rng(devices=[]):  # the random weights to be replaced cost no one their random numbers
            model = Model(config, folder)
        _check_shapes(shapes, model)
        tensors = _finite(load_file(folder / WEIGHTS))
        if config.packaged is not None:
            tensors |= _packaged(model, config.packaged)
        model.load_state_dict(tensors, strict=True)
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
    model.evaluation = evaluation_file.own(folder, config)
    return model.to(device)


def _packaged(model: Model, packaged: PackagedWeights) -> dict[str, Tensor]:
    """Return the backbone's tensors, which are in an installed package and not in the folder."""
    if not isinstance(model.backbone, BorrowedBackbone):
        raise errors.ArgumentError(f"{model.config.architecture.backbone} is no backbone whose weights a package has")
    model.backbone.load(model.backbone.in_order(weights.from_package(packaged)))
    return {f"backbone.{name}": tensor for name, tensor in model.backbone.state_dict().items()}


def _shapes(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Return the kinds and shapes of a file's tensors, by name; no tensor is read."""
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, no mapping
        return {name: (one.get_dtype(), one.get_shape()) for name, one in slices.items()}


def _check_shapes(shapes: dict[str, tuple[str, list[int]]], model: Model) -> None:
    """Refuse tensors that are not of the model, before they are read: a file may claim any size."""
    expected = model.state_dict()
    for name, (kind, shape) in shapes.items():
        if name not in expected:
            raise ValueError(f"{name!r:.80} is unknown")
        needed = expected[name]
        if shape != list(needed.shape) or kind.startswith(("F", "BF")) != needed.is_floating_point():
            raise ValueError(f"{name} is {kind} {shape!s:.60}, not {needed.dtype} {list(needed.shape)}")


def _finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds values that are not finite")
    return tensors
