"""Is a model what it was when it was exported, and is its probe as accurate as its folder says?"""

from dataclasses import dataclass
from pathlib import Path

from rrzoo import datasets, errors
from rrzoo.environment import machine
from rrzoo.model import Model
from rrzoo.progress import OnProgress, WrapIterable
from rrzoo.store import golden, model_folder
from rrzoo.store.load import load

ACCURACY_TOLERANCE = 5e-4  # as a share: 5 of 10,000 images, which rounding alone may turn on another CPU
BATCH = 512  # images between two reports of progress


@dataclass(frozen=True)
class Outputs:
    """What `outputs` found."""

    files: int
    difference: float  # the largest between an output now and the stored one
    tolerance: float
    same_cpu: bool  # as the model was made on


def outputs(folder: Path) -> Outputs:
    """Check a model folder's files against its manifest, and its outputs against the stored ones.

    Allowed are differences of 1e-5 on the kind of CPU that the model was made on, 1e-4 on another.

    Raises:
        errors.ModelFolderError: a file is missing, damaged or changed, or the outputs differ by more than is allowed.
    """
    if changed := model_folder.altered(folder):
        raise errors.ModelFolderError(
            f"{folder}: {', '.join(changed)} differs from its SHA-256 in {model_folder.MANIFEST}: "
            "fetch or export the model again"
        )
    training = model_folder.read_config(folder).training
    same_cpu = (
        training is not None and bool(training.machine) and training.machine.split(",")[0] == machine().split(",")[0]
    )
    tolerance = golden.TOLERANCE if same_cpu else golden.OTHER_CPU_TOLERANCE
    difference = golden.verify(folder, tolerance)
    return Outputs(len(model_folder.read_manifest(folder).sha256), difference, tolerance, same_cpu)


def accuracy(
    folder: Path,
    root: Path | None = None,
    progress: OnProgress | None = None,
    decoding: WrapIterable | None = None,
) -> tuple[float, str]:
    """Measure the accuracy of the linear probe again, as `rrzoo.store.export` did.

    Args:
        folder: of the model.
        root: folder that holds the data sets; default `datasets.data_root()`.
        progress: called after each batch of images.
        decoding: wraps the files that are decoded. See `datasets.load`.

    Returns:
        the share of the test images that the probe names right, 0 to 1, and what the images are, in words.

    Raises:
        errors.ModelFolderError: it is another accuracy than evaluation.json's, or there is none.
        errors.DatasetError: the images are not at hand, or are not those that were measured.
    """
    model = load(folder)
    known = model.evaluation
    if known is None or not model.classes:
        raise errors.ModelFolderError(f"{folder} holds no accuracy of its probe to compare with")
    name = model.config.training.labelled_dataset if model.config.training else known.dataset
    test = datasets.load(name, datasets.test_split(name), root, decoding)
    here = f"{test.description}, {test.split} split"
    if (here, len(test), test.classes) != (known.images, known.test_images, model.classes):
        raise errors.DatasetError(
            f"{model.name} was measured on {known.images}, {known.test_images:,} images of {len(model.classes)} "
            f"classes; here are {here}, {len(test):,} images of {len(test.classes)} classes: "
            "its accuracy can't be compared"
        )
    measured = _right(model, test, progress) / len(test)
    if not abs(measured - known.linear_probe) <= ACCURACY_TOLERANCE:
        raise errors.ModelFolderError(
            f"the linear probe of {model.name} names {measured:.2%} of {here} right, its card says "
            f"{known.linear_probe:.2%} (allowed: {ACCURACY_TOLERANCE:.2%} to either side)"
        )
    return measured, here


def _right(model: Model, test: datasets.Dataset, progress: OnProgress | None) -> int:
    """Return how many images the probe names right."""
    right = 0
    for start in range(0, len(test), BATCH):
        rows = slice(start, start + BATCH)
        right += int((model.classify(test.images[rows]).argmax(1) == test.require_labels()[rows]).sum())
        if progress is not None:
            progress(min(start + BATCH, len(test)), len(test))
    return right
