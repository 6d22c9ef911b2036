#!/usr/bin/env python
"""Train a model of the zoo without labels, measure it, and export it as a model folder."""

import threads  # noqa: F401  # isort: skip  # before torch loads

import argparse
import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from rrzoo import datasets, errors, train, zoo
from rrzoo.export import export
from rrzoo.recipes import RECIPES, Evaluation, Recipe, recipe

EPILOG = f"""models: {", ".join(RECIPES)}

example:
  python scripts/train.py conv4-cifar10 --data ~/photos
      reads ~/photos/cifar10/{{train,test}}/<class>/*, writes ./zoo/conv4-cifar10/

A run that was stopped goes on from its last epoch with --resume, with the same options."""


def main() -> None:
    """Train and export one model; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help="model to train, <backbone>-<dataset>")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--zoo", metavar="DIR", type=Path, help="folder to export to ($RRZOO_ZOO, or ./zoo)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    recipe_options = parser.add_argument_group("instead of what the recipe says")
    recipe_options.add_argument("--epochs", metavar="N", type=int, help="passes over the images")
    recipe_options.add_argument("--views", metavar="K", type=int, help="random views of each image, at least 2")
    recipe_options.add_argument("--batch-size", metavar="M", type=int, help="images a step, at least 2")
    recipe_options.add_argument("--seed", metavar="N", type=int, help="of weights, order and views")
    options = parser.parse_args()
    try:
        run(options)
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped: go on from the last whole epoch with --resume\n")


def run(options: argparse.Namespace) -> None:
    """Train and export the model that the options name."""
    name = options.name
    changes = {field: getattr(options, field) for field in ("epochs", "views", "batch_size", "seed")}
    chosen = dataclasses.replace(recipe(name), **{k: v for k, v in changes.items() if v is not None})
    root = options.zoo or zoo.zoo_root()
    folder, unfinished = root / name, root / ".runs" / name
    if folder.exists():
        raise errors.TrainingError(f"{folder} is already there: delete it to train anew, or choose another --zoo")
    images = datasets.load(chosen.dataset, chosen.split, options.data, progress)
    labelled = images
    if images.labels is None:  # pre-training needs none; the probe does
        labelled = datasets.load(chosen.dataset, "train", options.data, progress)
    test = datasets.load(chosen.dataset, datasets.test_split(chosen.dataset), options.data, progress)
    print(describe(name, chosen, images), f"log and checkpoints: {unfinished}", sep="\n", flush=True)
    pretrained = train.pretrain(chosen, images, unfinished, options.resume)

    print("measuring: linear probe, nearest neighbours, relation scores, and the same for what was not trained ...")
    model = export(name, chosen, pretrained, labelled, test, folder)
    measured = model.config.evaluation
    assert measured is not None  # export measures
    train.log(unfinished, event="evaluation", **dataclasses.asdict(measured))
    (unfinished / train.LOG).replace(folder / train.LOG)
    shutil.rmtree(unfinished)
    print(table(name, measured))
    print(f'{folder} is ready for rrzoo.load("{name}") and for: python app.py --model {name}')


def progress(files: Iterable[Path], count: int) -> Iterable[Path]:
    """Show a bar while images are decoded for the first time."""
    return tqdm(files, "decoding", count, unit=" images", unit_scale=True, dynamic_ncols=True)


def describe(name: str, chosen: Recipe, images: datasets.Dataset) -> str:
    """Say in one line what will be done."""
    return (
        f"{name}: {len(images):,} images of {images.description}, {chosen.views} views of each, "
        f"{chosen.batch_size} images a step, {chosen.epochs} epochs"
    )


def table(name: str, measured: Evaluation) -> str:
    """Lay the accuracies out as a table."""
    rows = [
        (name, measured.linear_probe, measured.knn),
        ("random weights", measured.random_weights_linear_probe, measured.random_weights_knn),
        ("raw pixels", measured.raw_pixels_linear_probe, measured.raw_pixels_knn),
    ]
    lines = [
        f"\naccuracy on {measured.data}, n = {measured.seeds}",
        f"{'':<24}{'linear probe':>14}{'20-NN':>10}",
    ]
    lines += [f"{row:<24}{probe:>14.2%}{knn:>10.2%}" for row, probe, knn in rows]
    lines += [
        f"relation score, area under ROC: same image {measured.auc_same_image:.3f}, "
        f"same class {measured.auc_same_class:.3f}\n"
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
