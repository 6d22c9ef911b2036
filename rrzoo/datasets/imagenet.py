"""Tiny-ImageNet and SlimageNet64, as distributed: trees of JPEG or PNG files, 64 px, some of them greyscale."""

from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.datasets import trees
from rrzoo.datasets.cache import decode
from rrzoo.datasets.dataset import Archive, Dataset, Decoding, Record
from rrzoo.datasets.mapped import Selection

SIZE = 64  # px
TINY_FOLDER = "tiny-imagenet-200"
SLIM_FOLDER = "SlimageNet64"
SLIM_SOURCE = "https://zenodo.org/record/3672132"
TINY_MEAN = (0.4802, 0.4481, 0.3975)
TINY_STD = (0.2764, 0.2689, 0.2816)
COPY_MEAN = (0.4781, 0.4500, 0.3963)  # of the re-coded copy
COPY_STD = (0.2683, 0.2621, 0.2729)
LEFT_OUT = frozenset(Path(__file__).with_name("tinyimagenet-left-out.txt").read_text().split())  # names of files
LICENCE = "ImageNet's terms: for non-commercial research; the photographs are their authors'"


def load_tiny(record: Record, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of Tiny-ImageNet. See `rrzoo.datasets.load`.

    Both it and STL-10 are of ImageNet: training images that show a photograph of STL-10's test split (`LEFT_OUT`, which
    scripts/near_duplicates.py found) are left out, so that what learnt from the others can be measured on STL-10.
    """
    folder = folder_of(record, root, TINY_FOLDER)
    for part in (split, "train", "words.txt"):
        if not (folder / part).exists():
            raise errors.DatasetError(f"{folder / part} is not there: Tiny-ImageNet has it. Fetch the data set again")
    wnids = trees.classes_of(folder / "train")
    copied = not _has_boxes(folder, wnids)
    if split == "train":
        files, labels = trees.labelled_files(folder / "train", wnids, "images")
    else:
        files, labels = _annotated(folder / "val", wnids)
    decoded = decode(folder / split, files, how, (SIZE, SIZE))
    left_out = LEFT_OUT if split == "train" else frozenset()
    kept = np.flatnonzero([files[number].name not in left_out for number in decoded.kept])
    description = record.describe(copied)
    if duplicates := len(decoded.kept) - len(kept):
        description += f", {duplicates} near-duplicates of STL-10's test images left out"
    return Dataset(
        name=record.name,
        split=split,
        images=Selection(decoded.images, kept) if duplicates else decoded.images,
        labels=labels[decoded.kept[kept]],
        classes=_words(folder / "words.txt", wnids),
        mean=COPY_MEAN if copied else TINY_MEAN,
        std=COPY_STD if copied else TINY_STD,
        statistics="measured once on all training images",
        description=description,
        licence=record.licence,
        skipped=decoded.skipped,
    )


def load_slim(record: Record, split: str, root: Path, how: Decoding) -> Dataset:
    """Load a split of SlimageNet64; classes are those of all splits. See `rrzoo.datasets.load`."""
    folder = folder_of(record, root, SLIM_FOLDER)
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
        name=record.name,
        split=split,
        images=decoded.images,
        labels=number[labels[decoded.kept]],
        classes=classes,
        mean=train.mean,
        std=train.std,
        statistics="computed when the training images were decoded",
        description=record.title,
        licence=record.licence,
        skipped=decoded.skipped,
    )


def folder_of(record: Record, root: Path, distributed: str) -> Path:
    """Return the folder that holds a data set; see `rrzoo.datasets.load`."""
    places = (root / distributed, root / record.name / distributed)
    if found := [place for place in places if place.is_dir()]:
        return found[0]
    raise record.absent(places[0])


def _has_boxes(folder: Path, wnids: tuple[str, ...]) -> bool:
    """Say whether each class has the list of boxes that the archive has.

    A copy whose images were coded anew lacks them. Whatever lacks them is called such a copy: its pixels may be others,
    and a figure must not be said to be Tiny-ImageNet's without knowing.
    """
    return all((folder / "train" / wnid / f"{wnid}_boxes.txt").is_file() for wnid in wnids)


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


TINY_IMAGENET = Record(
    name="tinyimagenet",
    title="Tiny-ImageNet",
    load=load_tiny,
    splits={"train": 100_000 - len(LEFT_OUT), "val": 10_000},
    test_split="val",  # the split that is called test has no labels
    class_count=200,
    image_size=SIZE,
    licence=LICENCE,
    source="Stanford CS231n; http://cs231n.stanford.edu",
    archive=Archive(
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        248_100_043,
        "90528d7ca1a48142e341f4ef8d21d0de",  # Avalanche's; the authors publish none
        TINY_FOLDER,
        600_000_000,
    ),
    copy="re-coded copy",
    hub="zh-plus/tiny-imagenet",
)
SLIMAGENET = Record(
    name="slimagenet64",
    title="SlimageNet64",
    load=load_slim,
    splits={"train": 0, "val": 0, "test": 0},
    test_split="test",
    class_count=1_000,
    image_size=SIZE,
    licence=LICENCE,
    source=f"Antoniou, Patacchiola, Ochal, Storkey 2020 (arXiv 2004.11967); {SLIM_SOURCE}",
    by_hand=f"no checksum of it is published: get it by hand from {SLIM_SOURCE}, unpack it to {SLIM_FOLDER}/",
)
