"""Model folders whose backbone's weights are in an installed Python package: left out of the folder, or put in.

Weights of others need not lie in this repository a second time. What is published has them inside.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save as save_tensors

from rrzoo import errors, files, records
from rrzoo.config import PackagedWeights
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.load import load
from rrzoo.store.model_folder import CARD, CONFIG, EVALUATION, WEIGHTS
from rrzoo.store.save import tensors_of
from rrzoo.training.run_log import LOG


def rewrite(folder: Path, target: Path, packaged: PackagedWeights | None) -> None:
    """Write a copy of a model folder that leaves the backbone's weights out, or has all inside.

    Args:
        folder: of the model.
        target: to be made.
        packaged: where the weights are that are left out; None: put all in.

    Raises:
        errors.ModelFolderError: the folder is damaged, something is at `target` already, or it can't be written.
    """
    model, manifest = load(folder), model_folder.read_manifest(folder)
    if target.exists():
        raise errors.ModelFolderError(f"{target} is already there: move it away, or choose another place")
    weights = save_tensors(tensors_of(model, packaged))
    config = dataclasses.replace(model.config, packaged=packaged)
    content: dict[str, str | bytes] = {CONFIG: records.to_json(config), WEIGHTS: weights}
    if (evaluations := evaluation_file.read(folder, model.config)) is not None:
        content[EVALUATION] = records.to_json(dataclasses.replace(evaluations, weights=files.sha256(weights)))
    try:
        with files.new_folder(target) as unfinished:
            for name in (*manifest.sha256, CARD, LOG):
                if name not in content and (folder / name).is_file():
                    (unfinished / name).parent.mkdir(exist_ok=True)
                    shutil.copyfile(folder / name, unfinished / name)
            for name, one in content.items():
                files.write(unfinished / name, one)
            model_folder.write_manifest(unfinished)
    except OSError as problem:
        raise errors.ModelFolderError(f"{target} can't be written ({problem}): make room, or choose another") from None


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Give a model folder that has all weights inside: `folder`, or a copy that is there as long as the block runs.

    Raises:
        errors.ModelFolderError: see `rewrite`.
    """
    if model_folder.read_config(folder).packaged is None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        rewrite(folder, Path(place) / folder.name, None)
        yield Path(place) / folder.name
