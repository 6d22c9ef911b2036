"""STL-10 as its authors distribute it: images as bytes, channel by channel, column-major, mapped from disk.

A folder called stl10-standin holds other photographs in this format (see its generator): whatever is loaded from it
is called that.
"""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrzoo import errors
from rrzoo.datasets.dataset import Archive, Dataset, Decoding, Record, md5, measure
from rrzoo.datasets.mapped import MappedImages

FOLDER = "stl10_binary"
SIZE = 96  # px
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
FOLDS, FOLD_IMAGES = 10, 1_000
TRAIN_MD5 = "918c2871b30a85fa023e0c44e0bee87f"  # of the training images as distributed; torchvision's
MEAN, STD = (0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)  # `measure` of these


def load(record: Record, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of STL-10 or of its stand-in. See `rrzoo.datasets.load`."""
    folder = _folder(record, split, root)
    if folder.parent.name == STANDIN.name != record.name:
        record = STANDIN
    train_path = _path(record, folder, "train")
    labels, distributed = None, _distributed(record, train_path)
    known = distributed and record.md5.get(train_path.name) == TRAIN_MD5
    mean, std = (MEAN, STD) if known else _measured(train_path, train_path.stat().st_mtime_ns)
    if split not in record.unlabelled:
        labels, path = _labels(record, folder, split), folder / f"{split}_y.bin"
        distributed &= _distributed(record, path)
    return Dataset(
        name=record.name,
        split=split,
        images=_images(_path(record, folder, split)),
        labels=labels,
        classes=_classes(folder),
        mean=mean,
        std=std,
        statistics=f"computed from the {record.splits['train']:,} training images{'' if known else ', now'}",
        description=record.describe(copied=not distributed),
        licence=record.licence,
        folds=_folds(record, folder) if split == "train" else None,
    )


def _folder(record: Record, split: str, root: Path) -> Path:
    """Return the folder that holds a split.

    Raises:
        errors.DatasetAbsentError: there is none, or there are only the labelled splits, which some copies are.
    """
    places = [root / record.name / FOLDER, *([root / FOLDER] if record.archive else [])]
    found = [place for place in places if place.is_dir()]
    if not found:
        raise record.absent(places[-1])
    with_split = [place for place in found if (place / f"{split}_X.bin").exists()]
    if not with_split and split in record.unlabelled:
        raise errors.DatasetAbsentError(
            f"{found[0]} has no {split}_X.bin: the {split} split is not at hand, the others may be; to have all of "
            f"{record.name}, {record.how_to_get}"
        )
    return (with_split or found)[0]


def _path(record: Record, folder: Path, split: str) -> Path:
    """Return the file of a split's images, if it has the size that it should have."""
    path, count = folder / f"{split}_X.bin", record.splits[split]
    _check_size(path, count * SIZE * SIZE * 3)
    return path


def _images(path: Path) -> MappedImages:
    count = path.stat().st_size // (SIZE * SIZE * 3)
    return MappedImages(path, (count, SIZE, SIZE, 3), column_major=True)


def _distributed(record: Record, path: Path) -> bool:
    """Say whether a file is the one that the authors distribute, as far as its sum is known.

    Asked of the training images, whose mean is known if they are, and of labels: the other images stay on disk.
    """
    return path.name not in record.md5 or _md5(path, path.stat().st_mtime_ns) == record.md5[path.name]


@functools.lru_cache(8)
def _md5(path: Path, _changed: int) -> str:
    return md5(path)


@functools.lru_cache(4)
def _measured(path: Path, _changed: int) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return measure(_images(path))


def _labels(record: Record, folder: Path, split: str) -> np.ndarray:
    path, count = folder / f"{split}_y.bin", record.splits[split]
    _check_size(path, count)
    labels = np.fromfile(path, np.uint8)
    if wrong := np.flatnonzero((labels < 1) | (labels > len(CLASSES))).tolist():
        raise errors.DatasetError(
            f"{path} holds the label {labels[wrong[0]]} for image {wrong[0]}: labels are 1 to 10. Fetch it again"
        )
    return labels.astype(np.int64) - 1


def _classes(folder: Path) -> tuple[str, ...]:
    """Check the names that are there; where there are none, they are known."""
    path = folder / "class_names.txt"
    if path.exists() and tuple(path.read_text(errors="replace").split()) != CLASSES:
        raise errors.DatasetError(f"{path} does not hold STL-10's classes ({', '.join(CLASSES)}): fetch it again")
    return CLASSES


def _folds(record: Record, folder: Path) -> np.ndarray | None:
    """Return the predefined folds, int64 (10, 1000), numbers of training images."""
    path = folder / "fold_indices.txt"
    if not path.exists():
        return None
    try:
        folds = np.array([line.split() for line in path.read_text().splitlines()], np.int64)
    except ValueError:  # lines of different lengths, or no numbers
        folds = np.empty((0, 0), np.int64)
    images = record.splits["train"]
    if folds.shape != (FOLDS, FOLD_IMAGES) or folds.min() < 0 or folds.max() >= images:
        raise errors.DatasetError(
            f"{path} does not hold {FOLDS} lines of {FOLD_IMAGES:,} numbers from 0 to {images - 1}: fetch it again"
        )
    return folds


def _check_size(path: Path, expected: int) -> None:
    if not path.is_file():
        raise errors.DatasetError(f"{path} is not there: an STL-10 folder holds it. Fetch the data set again")
    if (size := path.stat().st_size) != expected:
        what = "is cut short" if size < expected else "is too large"
        raise errors.DatasetError(f"{path} {what}: it has {size:,} bytes, not {expected:,}. Fetch it again")


STL10 = Record(
    name="stl10",
    title="STL-10",
    load=load,
    splits={"train": 5_000, "test": 8_000, "unlabeled": 100_000},
    test_split="test",
    class_count=len(CLASSES),
    image_size=SIZE,
    licence="none stated by the authors of STL-10 (Coates, Ng, Lee 2011); its images are ImageNet's; "
    "in use for research",
    source="Coates, Ng, Lee 2011; https://cs.stanford.edu/~acoates/stl10",
    archive=Archive(
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        2_640_397_119,
        "91f7769df0f17e558f3565bffb0c7dfb",  # torchvision's
        FOLDER,
        3_130_000_000,
    ),
    unlabelled=("unlabeled",),
    md5={  # torchvision's
        "train_X.bin": TRAIN_MD5,
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
        "unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
    },
    copy="an altered copy",
)
STANDIN = replace(
    STL10,
    name="stl10-standin",
    title="STL-10 stand-in (Tiny-ImageNet and CIFAR-10 photographs), not STL-10",
    licence="none stated by the authors of Tiny-ImageNet and CIFAR-10; in use for research",
    source="Tiny-ImageNet and CIFAR-10",
    archive=None,
    by_hand="its generator writes it (3.1 GB)",
    md5={},
)
