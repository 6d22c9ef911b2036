"""Train a model of the zoo without labels, measure it, and export it as a model folder."""

import argparse
import dataclasses
import shutil
import textwrap
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rrzoo import backbones, datasets, environment, errors, pretext, training, zoo
from rrzoo.commands import borrowing
from rrzoo.commands.progress import decoding
from rrzoo.config import Evaluation, Recipe
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.evaluation.measure import short_name
from rrzoo.evaluation.report import percent_or_dash
from rrzoo.evaluation.unknown import pictures as unknown_pictures
from rrzoo.images import to_square
from rrzoo.recipes import RECIPES, check, recipe
from rrzoo.store.export import export, export_unlabelled
from rrzoo.training import checkpoint, run_log

EPILOG = f"""{textwrap.fill(f"models: {', '.join(RECIPES)}", 118)}

examples:
  %(prog)s conv4-cifar10 --data ~/photos
      reads ~/photos/cifar10/{{train,test}}/<class>/*, writes ./zoo/conv4-cifar10/
  %(prog)s conv4-stl10 --dataset stl10-standin --minutes 120
      trains on other photographs, as many epochs as fit; config and card say so
  %(prog)s --backbone timm:resnet18.a1_in1k --dataset dir:photos
      borrows a backbone from the Hugging Face Hub, and trains a relation head on your pictures in a minute or two
  %(prog)s --dry-run
      says how long the whole zoo would take here

A run that was stopped goes on from its last epoch with --resume and the same options; with --minutes 0, too, what is
there is exported. Without NAME, models that are there are skipped, runs that were stopped go on, and the quickest
comes first; the largest take weeks on a CPU, so that --minutes helps."""

STOPPED = "go on from the last whole epoch with --resume; without NAME, with the same command"
FIELDS = ("epochs", "views", "batch_size", "seed", "dataset")  # of a recipe that options change


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = EPILOG
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="model to train, <backbone>-<dataset>[-<pretext>]; default: all of them"
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--zoo", metavar="DIR", type=Path, help="folder to export to ($RRZOO_ZOO, or ./zoo)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--minutes", metavar="N", type=float, default=float("inf"), help="epochs that fit in N minutes")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be trained, and how long it takes")
    recipe_options = parser.add_argument_group("instead of what the recipe says")
    recipe_options.add_argument("--epochs", metavar="N", type=int, help="passes over the images")
    recipe_options.add_argument("--views", metavar="K", type=int, help="random views of each image, at least 2")
    recipe_options.add_argument("--batch-size", metavar="M", type=int, help="images a step, at least 2")
    recipe_options.add_argument("--seed", metavar="N", type=int, help="of weights, order and views")
    recipe_options.add_argument("--dataset", metavar="NAME", help="train and measure on another data set")
    borrowing.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Train and export one model, or all; or only say what that would take."""
    if options.backbone is not None and options.name is None:
        options.name = borrowing.name_of(options.backbone, options.dataset)
    if options.name is None:
        build_zoo(options)
    elif options.dry_run:
        print(plan([options.name], options))
    else:
        train(options.name, options, options.resume)


def build_zoo(options: argparse.Namespace) -> None:
    """Train and export every model of the recipes that is not there, the quickest first."""
    if options.resume or any(getattr(options, field) is not None for field in FIELDS):
        raise errors.ArgumentError("without NAME all recipes are trained as they are: name one to change it")
    root = options.zoo or zoo.zoo_root()
    there = [name for name in RECIPES if (root / name).exists()]
    print(f"in {root} already: {', '.join(there) or 'none'}")
    names = [name for name in RECIPES if name not in there]
    seconds = {name: estimate(changed(name, options)) for name in tqdm(names, "measuring steps", leave=False)}
    names.sort(key=lambda name: seconds[name])
    print(plan(names, options, seconds))
    if options.dry_run:
        return
    left_out = []
    for name in names:
        try:
            train(name, options, resume=(root / ".runs" / name / checkpoint.CHECKPOINT).exists())
        except errors.RRZooError as problem:
            left_out.append(name)
            print(f"{name} is left out: {problem}\n", flush=True)
    if left_out:
        raise errors.TrainingError(f"left out: {', '.join(left_out)}; see above why, then run this again")


def train(name: str, options: argparse.Namespace, resume: bool) -> None:
    """Train and export one model."""
    chosen = changed(name, options)
    root = options.zoo or zoo.zoo_root()
    folder, unfinished = root / name, root / ".runs" / name
    if folder.exists():
        raise errors.TrainingError(f"{folder} is already there: delete it to train anew, or choose another --zoo")
    if note := substituted(name, chosen):
        print(note, flush=True)
    images, labelled, test = pictures(chosen, options.data)
    unknown = unknown_pictures(labelled.classes, labelled.name, options.data, decoding) if labelled else {}
    print(describe(name, chosen, images, labelled), f"log and checkpoints: {unfinished}", sep="\n", flush=True)
    if backbones.is_borrowed(chosen.backbone):
        pretrained, images = borrowing.pretrain(chosen, images, unfinished, resume, options)
    else:
        pretrained = training.pretrain(chosen, images, unfinished, resume, options.minutes)
    kept = dataclasses.replace(chosen, dataset=short_name(chosen.dataset))
    if labelled is None or test is None:
        export_unlabelled(name, kept, pretrained, images, folder)
    else:
        print("measuring: linear probe, nearest neighbours, relation scores, and the same for what was not trained ...")
        model = export(name, kept, pretrained, labelled, test, folder, pretraining=images, unknown=unknown)
        measured = model.evaluation
        assert measured is not None  # export measures
        run_log.log(unfinished, event="evaluation", **dataclasses.asdict(measured))
        print(table(name, measured))
    (unfinished / run_log.LOG).replace(folder / run_log.LOG)
    shutil.rmtree(unfinished)
    print(f'{folder} is ready for rrzoo.load("{name}") and for: python -m rrzoo demo --model {name}', flush=True)


def pictures(
    chosen: Recipe, root: Path | None
) -> tuple[datasets.Dataset, datasets.Dataset | None, datasets.Dataset | None]:
    """Return the images to learn from, and those with labels that the probe learns from and is measured on, if any."""
    name, size = chosen.labelled_dataset, None
    if chosen.dataset.startswith(datasets.FOLDER):
        size = chosen.image_size
        images = datasets.load(chosen.dataset, chosen.split, root, decoding, size=size)
        if images.labels is None and chosen.freeze == "all":
            return images, None, None
    test = datasets.load(name, datasets.test_split(name), root, decoding, size=size)
    images = labelled = datasets.load(chosen.dataset, chosen.split, root, decoding, size=size)
    if images.labels is None or name != chosen.dataset:  # pre-training needs no labels; the probe does
        labelled = datasets.load(name, "train", root, decoding, size=size)
    return images, labelled, test


def changed(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a model with what the options change."""
    promised = recipe(name) if options.backbone is None else borrowing.recipe_of(options.backbone, options.dataset)
    changes = {field: getattr(options, field) for field in FIELDS if getattr(options, field) is not None}
    changes |= borrowing.changes(promised, options)
    if options.dataset is not None:  # pre-training, probe and figures, all on that one
        changes |= {"labelled": None, "substitute": None}
    return at_hand(check(dataclasses.replace(promised, **changes)), options.data)


def at_hand(chosen: Recipe, root: Path | None) -> Recipe:
    """Return a recipe with its substitute in place of what it would be pre-trained on, where that is not at hand."""
    if chosen.substitute is None:
        return chosen
    try:
        datasets.load(chosen.dataset, chosen.split, root)
    except errors.DatasetAbsentError:
        return dataclasses.replace(chosen, dataset=chosen.substitute, split="train", substitute=None)
    return chosen


def plan(names: list[str], options: argparse.Namespace, seconds: dict[str, float] | None = None) -> str:
    """Say of models what would be trained and how long that takes here."""
    chosen = {name: changed(name, options) for name in names}
    seconds = seconds or {name: estimate(one) for name, one in chosen.items()}
    lines = [f"to train on {environment.machine()}; estimates from a few steps each:"]
    lines += [f"  {note}" for name, one in chosen.items() if (note := substituted(name, one))]
    for name, one in chosen.items():
        count = f"{one.epochs} epochs of {images_of(one):,} images"
        lines.append(f"  {name:<28}{count:<32}{f'K = {one.views}':<8}{duration(seconds[name]):>10}")
    if len(names) > 1:
        lines.append(f"  {'in all':<68}{duration(sum(seconds.values())):>10}")
    return "\n".join(lines)


def images_of(chosen: Recipe) -> int:
    """Return how many images a recipe trains on; the data need not be there."""
    record = CATALOGUE.get(chosen.dataset)
    known = record.splits.get(chosen.split) if record else None
    return known or len(datasets.load(chosen.dataset, chosen.split))


def estimate(chosen: Recipe) -> float:
    """Return about how many seconds training takes on this machine, from two steps on clay figures.

    Backbones other than Conv4 take steps of few views, not compiled: an upper bound, and memory stays small.
    """
    if not chosen.epochs:
        return 0.0
    if chosen.freeze == "all":
        return borrowing.estimate(chosen) * images_of(chosen)
    few = chosen
    if chosen.backbone != "conv4":
        few = dataclasses.replace(chosen, views=pretext.TASKS[chosen.pretext].least_views, batch_size=16)
    figures = datasets.load("clay10", "test")
    figures = dataclasses.replace(figures, images=to_square(figures.images, chosen.image_size))
    task = pretext.create(few, backbones.create(few.backbone), figures)
    begun = time.perf_counter()
    task.start_epoch(0, figures)
    beginning = (time.perf_counter() - begun) / len(figures)  # seconds an image
    step = training.TrainStep(task, figures, fast=few is chosen)
    batch = np.arange(few.batch_size)
    step(0, batch)  # compiles
    begun = time.perf_counter()
    for _ in range(2):
        step(0, batch)
    view = (time.perf_counter() - begun) / 2 / (few.batch_size * few.views)
    return chosen.epochs * images_of(chosen) * (view * chosen.views + beginning)


def duration(seconds: float) -> str:
    """Return seconds as minutes or hours."""
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe(name: str, chosen: Recipe, images: datasets.Dataset, labelled: datasets.Dataset | None) -> str:
    """Say in one line what will be done."""
    text = (
        f"{name}: {len(images):,} images of {images.description}, {chosen.views} views of each, "
        f"{chosen.batch_size} images a step, {'at most ' * (chosen.freeze == 'all')}{chosen.epochs} epochs"
    )
    if labelled is not None and labelled.name != images.name:
        text += f"; then a probe on the labels of {len(labelled):,} images of {labelled.description}"
    return text


def substituted(name: str, chosen: Recipe) -> str:
    """Say in one line that a model's data is not at hand, and what takes its place; "" where nothing does."""
    promised = RECIPES.get(name)
    if (
        promised is None
        or promised.substitute is None
        or (chosen.dataset, chosen.split) != (promised.substitute, "train")
    ):
        return ""
    return (
        f"{name}: the {promised.split} split of {promised.dataset} is not at hand, so the backbone learns from "
        f"{chosen.dataset} in its place"
    )


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
