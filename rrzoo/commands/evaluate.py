"""Measure models of the zoo on any labelled data set, and keep the figures in their folders, as evaluation.json.

On frozen features: linear probes (the regulariser chosen on held-out training images; the paper's own beside it; with
few labels; on the data set's folds, as STL-10 has them), neighbours, retrieval. Of the model's own probe: recall and
precision by class, calibration, what it refuses; on another data set, the classes in common. Of the relation head:
AUC, calibration, and what it adds to retrieval. With --fine-tune also what training on 1%, 10% and all of the labels
reaches.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from rrzoo import datasets, devices, errors, ranks, zoo
from rrzoo.commands import computing
from rrzoo.commands.progress import decoding
from rrzoo.devices import Device
from rrzoo.evaluation import measure, own_probe, report
from rrzoo.evaluation.unknown import pictures as unknown_pictures
from rrzoo.measured import Evaluation
from rrzoo.model import Model
from rrzoo.store import evaluation_file, model_folder
from rrzoo.store.load import load as load_model

T = TypeVar("T")

EPILOG = """examples:
  %(prog)s conv4-cifar10
      on the data set of its recipe
  %(prog)s conv4-cifar10 --dataset stl10
      on photographs: a new probe, and the model's own on the classes in common
  %(prog)s --table
      what has been measured, as a Markdown table"""

STOPPED = "what is measured is kept, model by model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = EPILOG
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="models of the zoo; with --table all, if none is named"
    )
    parser.add_argument("--dataset", metavar="DATASET", help=f"instead of the recipe's: {', '.join(datasets.names())}")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument(
        "--fine-tune", action="store_true", help="fine-tune, too: minutes for a Conv4, hours for a ResNet"
    )
    computing.add_arguments(parser)
    parser.add_argument("--table", action="store_true", help="measure nothing, print what was measured")


def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    if not options.names and not options.table:
        raise errors.ArgumentError("name at least one model, or ask for the --table")
    if options.table and (options.dataset or options.data or options.fine_tune):
        raise errors.ArgumentError("--table measures nothing: name models at most")
    if options.table:
        print(table(options.names))
        return
    with computing.together(options, STOPPED):
        device = computing.device(options)
        for name in options.names:
            print(evaluate(name, options.dataset, options.data, options.fine_tune, device))


def evaluate(name: str, dataset: str | None, root: Path | None, fine_tune: bool, device: Device = devices.CPU) -> str:
    """Measure a model, keep the figures in its folder, and return them as lines.

    Ranks share the features of both splits; the first then goes on alone, and the others return nothing.
    """
    folder = zoo.find(name)
    evaluation_file.check(folder)
    model = load_model(folder, device.where)
    train, test = load(model, dataset, root)
    extracted, unknown, begun = None, {}, time.perf_counter()
    if ranks.this().count > 1:
        extracted = measure.extract(model, train, test, bar)
        if extracted is None:
            return ""
    seconds = time.perf_counter() - begun  # that ranks took together
    if model.recogniser and own_probe.is_of(model, test):
        unknown = unknown_pictures(model.classes, test.name, root, decoding)
    evaluation = measure.measure(model, train, test, unknown, Stages(name), bar, extracted)
    evaluation = replace(evaluation, seconds=round((evaluation.seconds or 0) + seconds, 1))
    shown = evaluation_file.add(folder, evaluation)
    if fine_tune:
        evaluation = measure.fine_tune(model, train, test, evaluation, bar)
        shown = evaluation_file.add(folder, evaluation)
    kept = f"kept in {folder / model_folder.EVALUATION}"
    if not shown:
        kept += f"; {folder / model_folder.CARD} was edited, or is another version's, and stays as it is"
    rows = report.rows(evaluation)
    width = max(44, *map(len, rows))
    figures = (f"{row:<{width}}  {value}" for row, value in rows.items())
    return "\n".join([describe(model, evaluation), *figures, kept])


def load(model: Model, dataset: str | None, root: Path | None) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Return the splits to fit to and to measure on."""
    if dataset is None:
        dataset = model.config.training.labelled_dataset if model.config.training else ""
        if not dataset:
            raise errors.ArgumentError(f"{model.name} does not say what it was trained on: name a --dataset")
    size = model.config.architecture.image_size if dataset.startswith("dir:") else None
    train, test = (
        datasets.load(dataset, split, root, decoding, size=size) for split in ("train", datasets.test_split(dataset))
    )
    return train, test


def table(names: Sequence[str]) -> str:
    """Return a table of all models at hand that were measured, or of those named."""
    measured = []
    for name in names or zoo.list_models():
        folder = zoo.find(name)
        config = model_folder.read_config(folder)
        evaluations = evaluation_file.read(folder, config)
        if evaluations is not None:
            measured.append((config, evaluations.evaluations))
        elif names:
            raise errors.ArgumentError(f"{name} has not been measured: run python -m rrzoo evaluate {name}")
    if not measured:
        raise errors.ArgumentError("no model at hand has been measured: run python -m rrzoo evaluate NAME")
    return report.table(measured)


def describe(model: Model, evaluation: Evaluation) -> str:
    """Say in one line what was measured."""
    subject = report.subject(evaluation, model.config.training)
    return (
        f"{model.name}, {subject}: {evaluation.train_images:,} images to fit to, {evaluation.test_images:,} to measure "
        f"on, {evaluation.classes} classes, {evaluation.seconds or 0:.0f} s"
    )


class Stages:
    """Says on the terminal which part of the measurement begins, and when."""

    def __init__(self, name: str) -> None:
        """Start the clock."""
        self.name, self.begun = name, time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Print a line."""
        print(f"{self.name}, {time.perf_counter() - self.begun:4.0f} s: {stage} ...", file=sys.stderr, flush=True)


def bar(steps: Iterable[T], count: int, images: int) -> Iterable[T]:
    """Show a bar while a model runs over images; of several ranks the first alone shows it."""
    options = {"unit": " images", "unit_scale": images, "dynamic_ncols": True, "leave": False}
    shown: Iterable[T] = tqdm(steps, total=count, disable=not ranks.announced().first, **options)
    return shown
