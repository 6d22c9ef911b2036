"""Golden outputs: what a model computed of fixed images when it was exported, kept in its folder to compare with."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from rrzoo import errors, files
from rrzoo.model import Model
from rrzoo.store.load import load
from rrzoo.store.model_folder import GOLDEN

IMAGES = 8
MOST_BYTES = 50_000_000  # of the file: 8 images of up to 224 px and their features have a twentieth
TOLERANCE = 1e-5  # between runs on one kind of CPU
OTHER_CPU_TOLERANCE = 1e-4  # elsewhere, where sums are formed in another order


def golden_images(size: int) -> np.ndarray:
    """Return fixed synthetic images, uint8 (8, S, S, 3): coloured blobs, no photographs."""
    coarse = np.random.default_rng(20200610).integers(0, 256, (IMAGES, 3, 6, 6)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=(size, size), mode="bilinear")
    pixels: np.ndarray = smooth.round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def golden_outputs(model: Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return all that a model can say of images: features, embedding, relation scores of neighbours, probabilities."""
    outputs = {"features": model.features(images)}
    if not model.embeds_relation:
        outputs["embedding"] = model.embed(images)
    if model.has_relation_head:
        outputs["relation"] = model.relate(images[:-1], images[1:])
    if model.classes:
        outputs["probabilities"] = model.classify(images)
    return outputs


def verify(folder: Path, tolerance: float = TOLERANCE) -> float:
    """Compare a model's outputs with those stored when it was exported.

    Returns:
        the largest absolute difference.

    Raises:
        errors.ModelFolderError: the stored outputs are missing or damaged, or differ by more than `tolerance`.
    """
    model = load(folder)
    try:
        files.check_regular(folder / GOLDEN, MOST_BYTES)
        golden = load_file(folder / GOLDEN)
        outputs = golden_outputs(model, golden.pop("images"))
        if outputs.keys() != golden.keys():
            raise ValueError(f"it holds {', '.join(sorted(golden)) or 'nothing'}, not {', '.join(sorted(outputs))}")
        worst = max(_difference(outputs[name], expected) for name, expected in golden.items())
    except (OSError, SafetensorError, AttributeError, KeyError, TypeError, ValueError) as problem:  # Attribute: float8
        raise errors.ModelFolderError(f"{folder / GOLDEN} is missing or damaged ({problem})") from None
    if not worst <= tolerance:
        raise errors.ModelFolderError(
            f"{folder} computes outputs that differ by {worst:.2g} from those stored with it: "
            f"its files are not of one export, or this machine computes otherwise (allowed: {tolerance:g})"
        )
    return worst


def _difference(output: np.ndarray, expected: np.ndarray) -> float:
    if expected.dtype != np.float32 or expected.shape != output.shape or not len(expected):
        raise ValueError(f"{expected.dtype} {expected.shape} is not float32 {output.shape}")
    return float(np.abs(output - expected).max())
