"""CIFAR-10, CIFAR-100 and the latter's 20 superclasses, from the original archives or from a tree of image files.

The binary archives are plain bytes. The Python ones are pickles, which can run any code: they are read with an
unpickler that knows arrays and nothing else.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrzoo import errors
from rrzoo.datasets import trees
from rrzoo.datasets.cache import decode
from rrzoo.datasets.dataset import Archive, Dataset, Decoding, Record
from rrzoo.images import ImageArray

SIZE = 32  # px
PIXELS = SIZE * SIZE * 3  # bytes an image

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
SUPERCLASS_OF = {kind: coarse for coarse, kinds in SUPERCLASSES.items() for kind in kinds.split()}
CIFAR100_CLASSES = tuple(sorted(SUPERCLASS_OF))
COARSE = np.array([list(SUPERCLASSES).index(SUPERCLASS_OF[kind]) for kind in CIFAR100_CLASSES])  # of each fine label


@dataclass(frozen=True)
class Layout:
    """How the files of one of the two data sets are laid out."""

    classes: tuple[str, ...]
    label_keys: tuple[bytes, ...]  # in a pickle, in the order of the bytes in a binary record; the last is ours
    binary: str  # folder of the binary archive
    python: str  # folder of the Python archive
    files: dict[str, tuple[str, ...]]  # of a split, without suffix
    mean: tuple[float, float, float]  # of the paper's code
    std: tuple[float, float, float]


LAYOUT10 = Layout(
    classes=CIFAR10_CLASSES,
    label_keys=(b"labels",),
    binary="cifar-10-batches-bin",
    python="cifar-10-batches-py",
    files={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    mean=(0.491, 0.482, 0.447),
    std=(0.247, 0.243, 0.262),
)
LAYOUT100 = Layout(
    classes=CIFAR100_CLASSES,
    label_keys=(b"coarse_labels", b"fine_labels"),
    binary="cifar-100-binary",
    python="cifar-100-python",
    files={"train": ("train",), "test": ("test",)},
    mean=(0.507, 0.487, 0.441),
    std=(0.267, 0.256, 0.276),
)


def load(record: Record, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of cifar10, cifar100 or cifar100-20. See `rrzoo.datasets.load`."""
    layout = LAYOUT10 if record.name == "cifar10" else LAYOUT100
    own = root / record.name.removesuffix("-20")
    pixels: ImageArray
    copied = False
    skipped: tuple[str, ...] = ()
    if folder := _first_folder(own / layout.binary, root / layout.binary):
        pixels, labels = _read(folder, record, layout, split, ".bin", _binary_records)
    elif folder := _first_folder(own / layout.python, root / layout.python):
        pixels, labels = _read(folder, record, layout, split, "", _pickled_records)
    elif (folder := own / split).is_dir():
        if trees.classes_of(folder) != layout.classes:
            raise errors.DatasetError(
                f"{folder} holds {len(trees.classes_of(folder))} class folders: {record.title} has "
                f"{len(layout.classes)}, {layout.classes[0]} to {layout.classes[-1]}"
            )
        files, labels = trees.labelled_files(folder, layout.classes)
        decoded = decode(folder, files, how, (SIZE, SIZE))
        pixels, labels, skipped = decoded.images, labels[decoded.kept], decoded.skipped
        copied = files[0].suffix.lower() in (".jpg", ".jpeg")
    else:
        raise record.absent(own)
    twenty = record.name == "cifar100-20"
    return Dataset(
        name=record.name,
        split=split,
        images=pixels,
        labels=COARSE[labels] if twenty else labels,
        classes=tuple(SUPERCLASSES) if twenty else layout.classes,
        mean=layout.mean,
        std=layout.std,
        statistics="the paper's code, datamanager.py",
        description=record.describe(copied),
        licence=record.licence,
        skipped=skipped,
    )


def _first_folder(*folders: Path) -> Path | None:
    return next((folder for folder in folders if folder.is_dir()), None)


def _read(
    folder: Path,
    record: Record,
    layout: Layout,
    split: str,
    suffix: str,
    read: Callable[[Path, Layout, int], tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Read the files of a split; return images uint8 (N, 32, 32, 3) and labels int64 (N,)."""
    paths = [folder / f"{name}{suffix}" for name in layout.files[split]]
    count = record.splits[split] // len(paths)
    images = np.empty((record.splits[split], SIZE, SIZE, 3), np.uint8)
    labels = []
    for number, path in enumerate(paths):
        if not path.is_file():
            raise errors.DatasetError(f"{path} is not there: {record.title} has it. Fetch the data set again")
        pixels, found = read(path, layout, count)  # (n, 3072), (n, 1 or 2)
        images[number * count : (number + 1) * count] = pixels.reshape(count, 3, SIZE, SIZE).transpose(0, 2, 3, 1)
        labels.append(_checked_labels(path, found, layout))
    return images, np.concatenate(labels)


def _checked_labels(path: Path, found: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the labels that are ours, int64 (n,), if all of them can be right."""
    labels = found[:, -1].astype(np.int64)
    wrong = (labels < 0) | (labels >= len(layout.classes))
    if found.shape[1] == 2:
        wrong |= COARSE[np.where(wrong, 0, labels)] != found[:, 0]
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise errors.DatasetError(
            f"{path} holds the label {' / '.join(map(str, found[row]))} for image {row}: there is none such. "
            "Fetch it again"
        )
    return labels


def _binary_records(path: Path, layout: Layout, count: int) -> tuple[np.ndarray, np.ndarray]:
    label_bytes = len(layout.label_keys)
    expected = count * (label_bytes + PIXELS)
    if (size := path.stat().st_size) != expected:
        what = "is cut short" if size < expected else "is too large"
        raise errors.DatasetError(f"{path} {what}: it has {size:,} bytes, not {expected:,}. Fetch it again")
    records = np.fromfile(path, np.uint8).reshape(count, label_bytes + PIXELS)
    return records[:, label_bytes:], records[:, :label_bytes]


def _pickled_records(path: Path, layout: Layout, count: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        pixels = content[b"data"]
        labels = np.array([content[key] for key in layout.label_keys], np.int64).T
    except Exception as problem:  # a damaged pickle can raise anything; nothing in it runs
        raise errors.DatasetError(
            f"{path} is no batch of CIFAR ({problem}): fetch it again, best as the binary version"
        ) from None
    shape = (count, PIXELS)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != shape or len(labels) != count:
        raise errors.DatasetError(f"{path} does not hold {count:,} images of {SIZE} x {SIZE} px: fetch it again")
    return pixels, labels


class _ArraysOnly(pickle.Unpickler):
    """Refuses every name but those an array is made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle asks for, if it is harmless."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")


def _reconstruct(*_: object) -> np.ndarray:
    """Make the empty array that a pickle fills next."""
    return np.empty(0, np.uint8)


CIFAR10 = Record(
    name="cifar10",
    title="CIFAR-10",
    load=load,
    splits={"train": 50_000, "test": 10_000},
    test_split="test",
    class_count=10,
    image_size=SIZE,
    licence="none stated by its authors (Krizhevsky 2009); in use for research",
    source="Krizhevsky 2009; https://www.cs.toronto.edu/~kriz/cifar.html",
    archive=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        170_052_171,
        "c32a1d4ab5d03f1284b67883e8d87530",  # published beside it
        LAYOUT10.binary,
        190_000_000,
    ),
    copy="JPEG-coded copy",
    hub="uoft-cs/cifar10",
)
CIFAR100 = replace(
    CIFAR10,
    name="cifar100",
    title="CIFAR-100",
    class_count=100,
    archive=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        168_513_733,
        "03b5dce01913d631647c71ecec9e9cb8",  # published beside it
        LAYOUT100.binary,
        190_000_000,
    ),
    hub="uoft-cs/cifar100",
)
CIFAR100_20 = replace(CIFAR100, name="cifar100-20", title="CIFAR-100, 20 superclasses", class_count=20)
