"""What `rrzoo train` does once it knows what to learn from: pre-train, measure, export."""

import argparse
import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import backbones, datasets, errors, ranks, training, zoo
from rrzoo.commands import borrowing, computing
from rrzoo.commands.planning import describe
from rrzoo.commands.progress import decoding
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.evaluation import report
from rrzoo.evaluation.measure import short_name
from rrzoo.evaluation.report import percent_or_dash
from rrzoo.evaluation.unknown import pictures as unknown_pictures
from rrzoo.measured import Evaluation
from rrzoo.recipes import RECIPES
from rrzoo.store.export import export, export_unlabelled
from rrzoo.training import run_log

LEAST_OF_CLASS = 2  # images that a probe learns from


@dataclass(frozen=True)
class Material:
    """What a model learns from and is measured on."""

    images: Dataset  # that the backbone learns from
    labelled: Dataset | None  # that the probe learns from; None: nobody has said what the images show
    test: Dataset  # labelled, if those are


def check_free(folder: Path) -> None:
    """Refuse to train a model whose folder is there."""
    if folder.exists():
        raise errors.TrainingError(f"{folder} is already there: delete it to train anew, or choose another --zoo")


def check_not_shipped(name: str, replace: bool) -> None:
    """Refuse a name that a model of the package has, or promises, unless it is asked for."""
    if not replace and (name in RECIPES or (zoo.SHIPPED / name).exists()):
        raise errors.ArgumentError(
            f"{name} is the name of a model of rrzoo's, which yours would hide: choose another with --name and "
            "--images, or say --replace"
        )


def material(chosen: Recipe, root: Path | None) -> Material:
    """Return what a recipe's model learns from and is measured on.

    Raises:
        errors.DatasetError: something of it is absent; or the pretext task needs labels, and there are none.
    """
    name = chosen.labelled_dataset
    if chosen.dataset.startswith(datasets.FOLDER):
        side = max(chosen.image_size, chosen.model_size)
        return of_folder(chosen, *(datasets.load(name, one, None, decoding, size=side) for one in split_names(name)))
    test = datasets.load(name, datasets.test_split(name), root, decoding)
    images = labelled = datasets.load(chosen.dataset, chosen.split, root, decoding)
    if images.labels is None or name != chosen.dataset:  # pre-training needs no labels; the probe does
        labelled = datasets.load(name, "train", root, decoding)
    return Material(images, labelled, test)


def split_names(dataset: str) -> tuple[str, str]:
    """Return the split of a folder to learn from, and the one to measure on."""
    return "train", datasets.test_split(dataset)


def of_folder(chosen: Recipe, images: Dataset, test: Dataset) -> Material:
    """Return what a folder's model learns from and is measured on: one class, or a split without, is as good as none.

    Raises:
        errors.DatasetError: the pretext task needs labels, and there are none; or a class has too few images.
    """
    if images.labels is not None and test.labels is not None and len(images.classes) > 1:
        counts = np.bincount(images.labels, minlength=len(images.classes))
        if counts.min() < LEAST_OF_CLASS:
            rarest = images.classes[counts.argmin()]
            raise errors.DatasetError(
                f"{images.name} has {counts.min()} images of the class {rarest} to learn from: at least "
                f"{LEAST_OF_CLASS} are needed"
            )
        return Material(images, images, test)
    if chosen.pretext == "supervised":
        classes = ", ".join(images.classes) or "none"
        raise errors.DatasetError(
            f"{images.name} has these classes: {classes}. The task supervised needs two folders of images, or more"
        )
    images, test = (dataclasses.replace(one, labels=None, classes=()) for one in (images, test))
    return Material(images, None, test)


def learn(name: str, chosen: Recipe, material: Material, root: Path, resume: bool, options: argparse.Namespace) -> None:
    """Pre-train, measure, and write the model folder below `root`; say what is done, and how good it is."""
    images, labelled, test = material.images, material.labelled, material.test
    device = computing.device(options)
    folder, unfinished = root / name, root / ".runs" / name
    unknown = unknown_pictures(labelled.classes, labelled.name, options.data, decoding) if labelled else {}
    print(describe(name, chosen, images, labelled), flush=True)
    print(f"log and checkpoints: {unfinished}; computing on {device.name}", flush=True)
    if backbones.is_borrowed(chosen.backbone):
        pretrained, images = borrowing.pretrain(chosen, images, unfinished, resume, options)
    else:
        pretrained = training.pretrain(chosen, images, unfinished, resume, options.minutes, device=device)
    if not ranks.this().first:
        return
    kept = dataclasses.replace(chosen, dataset=short_name(chosen.dataset))
    if labelled is None:
        print(f"measuring on {len(test):,} held-out pictures, without labels ...", flush=True)
        without_labels = export_unlabelled(name, kept, pretrained, images, test, folder, device)[1]
        run_log.log(unfinished, event="evaluation", **dataclasses.asdict(without_labels))
        print("\n".join(f"  {what}: {value}" for what, value in report.without_labels(without_labels).items()))
    else:
        print("measuring: linear probe, nearest neighbours, relation scores, and the same for what was not trained ...")
        model = export(
            name, kept, pretrained, labelled, test, folder, pretraining=images, unknown=unknown, device=device
        )
        measured = model.evaluation
        assert measured is not None  # export measures
        run_log.log(unfinished, event="evaluation", **dataclasses.asdict(measured))
        print(table(name, measured))
    (unfinished / run_log.LOG).replace(folder / run_log.LOG)
    shutil.rmtree(unfinished)


def table(name: str, measured: Evaluation) -> str:
    """Lay the accuracies out as a table."""
    rows = [(name, measured.linear_probe, measured.paper_probe, measured.knn["20"])]
    if untrained := measured.untrained:
        rows += [
            (
                "random weights",
                untrained.random_weights_linear_probe,
                untrained.random_weights_paper_probe,
                untrained.random_weights_knn,
            ),
            (
                "raw pixels",
                untrained.raw_pixels_linear_probe,
                untrained.raw_pixels_paper_probe,
                untrained.raw_pixels_knn,
            ),
        ]
    lines = [
        f"\naccuracy on {measured.images}, n = {measured.seeds}",
        f"{'':<24}{'linear probe':>14}{'the paper':>14}{'20-NN':>10}",
    ]
    for row, probe, paper, knn in rows:
        lines.append(f"{row:<24}{probe:>14.2%}{percent_or_dash(paper):>14}{knn:>10.2%}")
    if measured.relation is not None:
        lines.append(
            f"relation score, area under ROC: same image {measured.relation.auc_same_image:.3f}, "
            f"same class {measured.relation.auc_same_class:.3f}"
        )
    return "\n".join([*lines, ""])
