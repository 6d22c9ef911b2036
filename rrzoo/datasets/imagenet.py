"""Tiny-ImageNet and SlimageNet64, as distributed: trees of JPEG or PNG files, 64 px, some of them greyscale."""

from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.datasets import trees
from rrzoo.datasets.cache import Decoding, decode
from rrzoo.datasets.dataset import Dataset, absent, fetch_with

SIZE = 64  # px
TINY_FOLDER = "tiny-imagenet-200"
SLIM_FOLDER = "SlimageNet64"
SLIM_SOURCE = "https://zenodo.org/record/3672132"
TINY_MEAN = (0.4802, 0.4481, 0.3975)
TINY_STD = (0.2764, 0.2689, 0.2816)
LICENCE = "ImageNet's terms: for non-commercial research; the photographs are their authors'"


def load_tiny(name: str, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of Tiny-ImageNet. See `rrzoo.datasets.load`."""
    folder = _folder(root, name, TINY_FOLDER)
    if folder is None:
        raise absent(name, root / TINY_FOLDER, fetch_with(name, "248 MB"))
    for part in (split, "train", "words.txt"):
        if not (folder / part).exists():
            raise errors.DatasetError(f"{folder / part} is not there: Tiny-ImageNet has it. Fetch the data set again")
    wnids = trees.classes_of(folder / "train")
    if split == "train":
        files, labels = trees.labelled_files(folder / "train", wnids, "images")
    else:
        files, labels = _annotated(folder / "val", wnids)
    decoded = decode(folder / split, files, how, (SIZE, SIZE))
    return Dataset(
        name=name,
        split=split,
        images=decoded.images,
        labels=labels[decoded.kept],
        classes=_words(folder / "words.txt", wnids),
        mean=TINY_MEAN,
        std=TINY_STD,
        statistics="python -m rrzoo data tinyimagenet",
        description="Tiny-ImageNet",
        licence=LICENCE,
        skipped=decoded.skipped,
    )


def load_slim(name: str, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of SlimageNet64; classes are those of all splits. See `rrzoo.datasets.load`."""
    folder = _folder(root, name, SLIM_FOLDER)
    if folder is None:
        raise absent(name, root / SLIM_FOLDER, f"unpack what {SLIM_SOURCE} offers there (no checksum is published)")
    for part in (split, "train"):
        if not (folder / part).is_dir():
            raise errors.DatasetError(
                f"{folder / part} is not there: images belong into {folder}/{{train,val,test}}/<class>/"
            )
    per_split = {part.name: trees.classes_of(part) for part in folder.iterdir() if part.is_dir()}
    classes = tuple(sorted(set().union(*per_split.values())))
    train_files, train_labels = trees.labelled_files(folder / "train", per_split["train"])
    train = decode(folder / "train", train_files, how, (SIZE, SIZE))
    own, labels, decoded = per_split["train"], train_labels, train
    if split != "train":
        own = per_split[split]
        files, labels = trees.labelled_files(folder / split, own)
        decoded = decode(folder / split, files, how, (SIZE, SIZE))
    number = np.searchsorted(classes, own)  # of each of the split's classes among all
    return Dataset(
        name=name,
        split=split,
        images=decoded.images,
        labels=number[labels[decoded.kept]],
        classes=classes,
        mean=train.mean,
        std=train.std,
        statistics="computed when the training images were decoded",
        description="SlimageNet64",
        licence=LICENCE,
        skipped=decoded.skipped,
    )


def _folder(root: Path, name: str, distributed: str) -> Path | None:
    return next((path for path in (root / distributed, root / name / distributed) if path.is_dir()), None)


def _annotated(folder: Path, wnids: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """Read val_annotations.txt: file, class and box a line. Every image has to have a line, and every line an image."""
    path = folder / "val_annotations.txt"
    if not path.is_file():
        raise errors.DatasetError(f"{path} is not there: it holds the labels. Fetch the data set again")
    number = {wnid: i for i, wnid in enumerate(wnids)}
    label_of = {}
    for row, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        name, wnid, *_ = [*line.split("\t"), "", ""]
        if wnid not in number:
            raise errors.DatasetError(f"{path}, line {row}: {wnid!r} is none of the {len(wnids)} classes in train/")
        label_of[name] = number[wnid]
    files = images.find(folder / "images") if (folder / "images").is_dir() else []
    if difference := sorted(label_of.keys() ^ {file.name for file in files}):
        raise errors.DatasetError(
            f"{folder}: {difference[0]} is only one of an image and a line of {path.name}. Fetch the data set again"
        )
    return files, np.array([label_of[file.name] for file in files], np.int64)


def _words(path: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first word for each class; all its words where two classes would have one name."""
    lines = (line.partition("\t") for line in path.read_text(errors="replace").splitlines())
    words = {wnid: text.strip() for wnid, _, text in lines}
    if missing := [wnid for wnid in wnids if not words.get(wnid)]:
        raise errors.DatasetError(f"{path} has no words for {missing[0]}: fetch the data set again")
    first = [words[wnid].split(",")[0] for wnid in wnids]
    return tuple(name if first.count(name) == 1 else words[wnid] for name, wnid in zip(first, wnids, strict=True))
