"""Train a model of the zoo without labels, measure it, and export it as a model folder."""

import argparse
import dataclasses
import textwrap
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets, environment, errors, ranks, zoo
from rrzoo.commands import borrowing, computing, learning, own_pictures
from rrzoo.commands.planning import costs_of, duration, estimate, images_of, substituted
from rrzoo.config import Recipe
from rrzoo.recipes import RECIPES, check, recipe
from rrzoo.training import checkpoint, kept_features

EPILOG = f"""{textwrap.fill(f"models: {', '.join(RECIPES)}", 118)}

examples:
  %(prog)s conv4-cifar10 --data ~/photos
      reads ~/photos/cifar10/{{train,test}}/<class>/*, writes ./zoo/conv4-cifar10/
  %(prog)s conv4-stl10 --dataset stl10-standin --minutes 120
      trains on other photographs, as many epochs as fit; config and card say so
  %(prog)s --backbone timm:resnet18.a1_in1k --dataset dir:photos
      borrows a backbone from the Hugging Face Hub, and trains a relation head on your pictures in a minute or two
  %(prog)s --images ~/Pictures --name holiday
      learns from your own pictures, labels or none, in ten minutes, indexes them, and says how to open the demo
  %(prog)s --dry-run
      says how long the whole zoo would take here

A run that was stopped goes on from its last checkpoint with --resume and the same options; with --minutes 0, too, its
whole epochs are exported. Without NAME, models that are there are skipped, runs that were stopped go on, and the
quickest comes first; the largest take weeks on a CPU, so that --minutes helps."""

STOPPED = "go on from the last checkpoint with --resume; without NAME, with the same command"
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
    computing.add_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be trained, and how long it takes")
    recipe_options = parser.add_argument_group("instead of what the recipe says")
    recipe_options.add_argument("--epochs", metavar="N", type=int, help="passes over the images")
    recipe_options.add_argument("--views", metavar="K", type=int, help="random views of each image, at least 2")
    recipe_options.add_argument("--batch-size", metavar="M", type=int, help="images a step, at least 2")
    recipe_options.add_argument("--seed", metavar="N", type=int, help="of weights, order and views")
    recipe_options.add_argument("--dataset", metavar="NAME", help="train and measure on another data set")
    borrowing.add_arguments(parser)
    own_pictures.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Train and export one model, or all; or only say what that would take. Several ranks train one model together."""
    several = ranks.announced().count > 1
    if several and (options.name is None or options.images is not None or options.dry_run):
        raise errors.ArgumentError("several ranks train one model of a NAME: without it, and for the rest, start one")
    with computing.together(options, "the last checkpoint is kept, go on with --resume"):
        _run(options)


def _run(options: argparse.Namespace) -> None:
    if options.images is not None:
        own_pictures.train(options)
        return
    own_pictures.refuse_without_images(options)
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
    device = computing.device(options)
    seconds = {name: estimate(changed(name, options), device) for name in tqdm(names, "measuring steps", leave=False)}
    names.sort(key=lambda name: seconds[name])
    print(plan(names, options, seconds))
    if options.dry_run:
        return
    left_out = []
    for name in names:
        try:
            run = root / ".runs" / name
            train(name, options, resume=checkpoint.is_in(run) or kept_features.is_in(run))
        except errors.RRZooError as problem:
            left_out.append(name)
            print(f"{name} is left out: {problem}\n", flush=True)
    if left_out:
        raise errors.TrainingError(f"left out: {', '.join(left_out)}; see above why, then run this again")


def train(name: str, options: argparse.Namespace, resume: bool) -> None:
    """Train and export one model."""
    chosen = changed(name, options)
    root = options.zoo or zoo.zoo_root()
    learning.check_free(root / name)
    if chosen.dataset.startswith(datasets.FOLDER):
        learning.check_not_shipped(name, options.replace)
    if note := substituted(name, chosen):
        print(note, flush=True)
    material = learning.material(chosen, options.data)
    learning.learn(name, chosen, material, root, resume, options)
    print(f'{root / name} is ready for rrzoo.load("{name}") and for: python -m rrzoo demo --model {name}', flush=True)


def changed(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a model with what the options change."""
    promised = recipe(name) if options.backbone is None else borrowing.recipe_of(options.backbone, options.dataset)
    changes = {field: getattr(options, field) for field in FIELDS if getattr(options, field) is not None}
    changes |= borrowing.changes(promised, options)
    if options.dataset is not None:  # pre-training, probe and figures, all on that one
        changes |= {"labelled": None, "substitute": None}
        if options.dataset.startswith(datasets.FOLDER):
            changes["split"] = "train"
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
    device = computing.device(options)
    seconds = seconds or {name: estimate(one, device) for name, one in chosen.items()}
    gpu = "" if device.is_cpu else device.name
    lines = [f"to train on {environment.machine(gpu)}; estimates from a few steps each:"]
    lines += [f"  {note}" for name, one in chosen.items() if (note := substituted(name, one))]
    for name, one in chosen.items():
        count = f"{one.epochs} epochs of {images_of(one):,} images"
        lines.append(f"  {name:<28}{count:<32}{f'K = {one.views}':<8}{duration(seconds[name]):>10}")
    if len(names) > 1:
        lines.append(f"  {'in all':<68}{duration(sum(seconds.values())):>10}")
    else:
        lines += [line for one in chosen.values() for line in costs_of(one)]
    return "\n".join(lines)
