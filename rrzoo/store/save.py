"""From a model to a model folder."""

import dataclasses
from pathlib import Path

from safetensors.numpy import save as save_arrays
from safetensors.torch import save as save_tensors
from torch import Tensor

from rrzoo import errors, files, records
from rrzoo.config import PackagedWeights
from rrzoo.gallery import Gallery, storage
from rrzoo.measured import Evaluation, Evaluations, WithoutLabels
from rrzoo.model import Model
from rrzoo.store import card, format_1, golden, model_folder


def save(
    model: Model,
    folder: Path,
    gallery: Gallery | None = None,
    evaluation: Evaluation | None = None,
    packaged: PackagedWeights | None = None,
    without_labels: WithoutLabels | None = None,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        model: what to write.
        folder: to be made.
        gallery: of this model, if it shall have one.
        evaluation: what was measured of these very weights, if anything was.
        packaged: where the weights of the backbone are, which the folder then leaves out; default: all are in it.
        without_labels: what was measured of these very weights without labels, if anything was.

    Raises:
        errors.ModelFolderError: there is something at `folder` already, or it can't be written.
    """
    there = errors.ModelFolderError(f"{folder} is already there: move it away, or export to another place")
    if folder.exists():
        raise there
    config = dataclasses.replace(format_1.without_evaluation(model.config), packaged=packaged)
    weights = save_tensors(tensors_of(model, packaged))
    images = golden.golden_images(config.architecture.image_size)
    outputs = save_arrays({"images": images, **golden.golden_outputs(model, images)})
    evaluations = {} if evaluation is None else {evaluation.dataset: evaluation}
    content: dict[str, str | bytes] = {
        model_folder.CONFIG: records.to_json(config),
        model_folder.WEIGHTS: weights,
        model_folder.GOLDEN: outputs,
        model_folder.CARD: card.render(config, evaluations, without_labels),
    }
    if evaluations or without_labels:
        measured = Evaluations(files.sha256(weights), evaluations, without_labels)
        content[model_folder.EVALUATION] = records.to_json(measured)
    try:
        files.remove_abandoned(folder.parent)
        with files.new_folder(folder) as unfinished:
            for name, one in content.items():
                files.write(unfinished / name, one)
            if gallery is not None:
                gallery.save(unfinished / storage.FOLDER)
            model_folder.write_manifest(unfinished)
    except OSError as problem:
        if folder.exists():  # by another process, meanwhile
            raise there from None
        raise errors.ModelFolderError(
            f"{folder} can't be written ({problem}): make room, or export elsewhere"
        ) from None


def tensors_of(model: Model, packaged: PackagedWeights | None) -> dict[str, Tensor]:
    """Return what model.safetensors holds: all, or where the backbone's weights are in a package, all but these."""
    return {
        name: tensor.cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if packaged is None or not name.startswith("backbone.")
    }
