#!/usr/bin/env python
"""Compare pretext tasks: one backbone, one data set, one optimiser, an equal budget of views and one of minutes."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import dataclasses
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

import drawing
from rrzoo import backbones, datasets, devices, environment, errors, pretext, training
from rrzoo.config import Architecture, ModelConfig, Recipe
from rrzoo.devices import Device
from rrzoo.evaluation import neighbours, probes
from rrzoo.evaluation.retrieval import retrieval
from rrzoo.evaluation.untrained import measure_untrained
from rrzoo.model import Model
from rrzoo.pretext import Pretext
from rrzoo.recipes import recipe
from rrzoo.store.export import export

NAME = "conv4-cifar10"
CURVES = {"relation": "#3b6ea8", "simclr": "#b5651d"}  # tasks that are measured on their way, too
MEASURED = {"linear_probe": "linear probe", "knn": "20-NN", "map": "mAP"}  # at each point, shares; in tables
SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the views, where they are

EPILOG = f"""Each run follows the recipe {NAME}-<task>, at a constant learning rate, until both the views and the
minutes are over, and is measured at each: linear probe and 20-NN on all images, mAP among the test images. Views are
what goes through the backbone, patches and turned copies included. The clock stands still while it is measured and
during the first step, in which kernels are compiled or loaded. Every run has a process of its own; runs that FILE holds
are not repeated, and nothing else should run on the machine. Beside FILE come the weights, as they were when the views
were over, and the picture.

  python scripts/compare.py compared.json --tasks relation simclr random --seeds 0 1 2
  python scripts/compare.py compared.json --export zoo      # model folders of seed 0"""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What each run may use, and is measured at."""

    views: int
    minutes: float


@environment.keep_memory()
def train_one(
    tag: str,
    seed: int,
    budget: Budget,
    data: datasets.Dataset,
    test: datasets.Dataset,
    file: Path,
    device: Device = devices.CPU,
) -> dict:
    """Train until the budget is used up, save the weights when its views are; return all points."""
    chosen = recipe_of(tag, seed)
    if len(data) < chosen.batch_size:
        raise errors.ArgumentError(f"{len(data)} images are less than one batch of {chosen.batch_size}")
    task = untrained(chosen, data)
    if not chosen.epochs:
        save_file(task.state_dict(), file)
        point = {"views": 0, "minutes": 0.0, **accuracies(task, data, test, device)}
        return {"curve": [], "at_views": point, "at_minutes": point}
    step = training.TrainStep(task, data, device=device)
    marks = [round(share * budget.views) for share in SHARES if tag in CURVES] + [budget.views]
    points: list[dict] = []
    at_minutes: dict | None = None
    views, paused = 0, 0.0
    bar = tqdm(total=budget.views, desc=f"{tag} {seed}", unit=" views", unit_scale=True, dynamic_ncols=True)
    task.train()
    begun = time.perf_counter()
    for epoch, numbers in batches(task, data):
        step_begun = time.perf_counter()
        loss, _ = step(epoch, numbers)
        if not math.isfinite(loss.item()):
            raise errors.TrainingError(f"{tag}, seed {seed}: the loss is {loss.item()} after {views:,} views")
        now = time.perf_counter()
        paused += 0 if views else now - step_begun
        views += len(numbers) * chosen.views
        bar.update(len(numbers) * chosen.views)
        minutes = (now - begun - paused) / 60
        if not (late := minutes >= budget.minutes and at_minutes is None) and (not marks or views < marks[0]):
            continue
        point = {"views": views, "minutes": minutes, **accuracies(task, data, test, device)}
        bar.write(f"{tag} {seed}: {line(point)}")
        if late:
            at_minutes = point
        if marks and views >= marks[0]:
            points.append(point)
            if not marks[1:]:
                save_file({name: tensor.cpu().contiguous() for name, tensor in task.state_dict().items()}, file)
            marks = [mark for mark in marks if mark > views]
        if not marks and at_minutes:
            break
        paused += time.perf_counter() - now
    bar.close()
    return {"curve": points if tag in CURVES else [], "at_views": points[-1], "at_minutes": at_minutes}


def recipe_of(tag: str, seed: int) -> Recipe:
    """Return the recipe that a run follows."""
    return dataclasses.replace(recipe(f"{NAME}-{tag}"), seed=seed)


def untrained(chosen: Recipe, data: datasets.Dataset) -> Pretext:
    """Return the task with the random weights that `training.pretrain` begins with."""
    torch.manual_seed(chosen.seed)
    return pretext.create(chosen, backbones.create(chosen.backbone), data)


def batches(task: Pretext, data: datasets.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """Yield epoch and image numbers in the order of `training.pretrain`, without end."""
    size = task.recipe.batch_size
    for epoch in itertools.count():
        order = np.random.default_rng([task.recipe.seed, epoch]).permutation(len(data))
        task.start_epoch(epoch, data)
        for start in range(0, len(data) - size + 1, size):
            yield epoch, order[start : start + size]


def accuracies(task: Pretext, data: datasets.Dataset, test: datasets.Dataset, device: Device) -> dict[str, float]:
    """Measure the backbone as it is; it goes on in training mode."""
    model = Model(ModelConfig(NAME, Architecture(task.recipe.backbone, task.recipe.image_size, data.mean, data.std)))
    model.backbone.load_state_dict(task.backbone.state_dict())
    model.to(device.where)
    measured = model.features(data.images), data.require_labels(), model.features(test.images), test.require_labels()
    return {
        "linear_probe": probes.linear_probe_accuracy(*measured),
        "knn": neighbours.knn_accuracy(*measured),
        "map": retrieval(*measured[2:])["map"],
    }


def line(point: dict) -> str:
    """Lay a measurement out."""
    return (
        f"{point['views']:>12,} views {point['minutes']:>6.2f} min  linear probe {point['linear_probe']:.2%}  "
        f"20-NN {point['knn']:.2%}  mAP {point['map']:.2%}"
    )


def table(record: dict) -> str:
    """Return all runs as a Markdown table: mean ± standard deviation (n - 1) over seeds, shares in percent."""
    views, minutes = record["budget"]["views"], record["budget"]["minutes"]
    heads = ["task", "n"]
    for budget, other in ((f"{views:,} views", "minutes"), (f"{minutes:g} minutes", "views")):
        first, *more = MEASURED.values()
        heads += [f"after {budget}: {first}", *more, other]
    rows = [heads, ["---"] * len(heads)]
    for tag in pretext.TASKS:
        if runs := runs_of(record, tag):
            row = [tag, str(len(runs))]
            for where, other, form in (("at_views", "minutes", ".1f"), ("at_minutes", "views", ",.0f")):
                points = [run[where] for run in runs]
                row += [spread([point[key] for point in points]) for key in MEASURED]
                row.append(format(statistics.mean(point[other] for point in points), form))
            rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def runs_of(record: dict, tag: str) -> list[dict]:
    """Return the runs of a task."""
    return [run for key, run in record["runs"].items() if key.rpartition("-")[0] == tag]


def spread(values: list[float]) -> str:
    """Return shares as a mean and, of several, their standard deviation, in percent."""
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def picture(record: dict) -> str | None:
    """Draw accuracy against views for the tasks that were measured on their way, if any was."""
    drawn = []
    for tag, colour in CURVES.items():
        if runs := runs_of(record, tag):
            points = []
            for at in zip(*(run["curve"] for run in runs), strict=True):
                shares = [point["linear_probe"] for point in at]
                sd = statistics.stdev(shares) if len(shares) > 1 else 0.0
                points.append((statistics.mean(point["views"] for point in at), statistics.mean(shares), sd))
            drawn.append(drawing.Curve(tag, colour, points))
    if not drawn:
        return None
    ticks = {x: f"{x / 1e6:.2g} M" for x, _, _ in drawn[0].points}
    seeds = ", ".join(f"{tag}: n = {len(runs_of(record, tag))}" for tag in CURVES)
    caption = f"{record['data']}; Conv4, {seeds}, bars: one standard deviation; {record['machine']}"
    return drawing.curves("Linear probe against views seen", drawn, ticks, caption)


def export_all(options: argparse.Namespace, record: dict) -> None:
    """Export what seed 0 of each task had learnt when the views were over."""
    for tag in options.tasks:
        if f"{tag}-0" not in record["runs"]:
            raise errors.ArgumentError(f"{options.json} holds no run of {tag} with seed 0: train it first")
    data, test = load(options)
    baselines = measure_untrained(recipe(NAME), data, test)  # alike for all tasks
    for tag in options.tasks:
        chosen, name = recipe_of(tag, 0), f"{NAME}-{tag}"
        task = untrained(chosen, data)
        task.load_state_dict(load_file(weights(options.json, tag, 0)))
        point = record["runs"][f"{tag}-0"]["at_views"]
        step = chosen.batch_size * chosen.views
        epochs = point["views"] // (step * (len(data) // chosen.batch_size))
        trained = training.Pretrained(
            task.backbone, task.relation_head, len(data), epochs, point["views"], point["minutes"]
        )
        export(name, chosen, trained, data, test, options.export / name, baselines)
        print(f"{options.export / name}: {line(point)}", flush=True)


def weights(file: Path, tag: str, seed: int) -> Path:
    """Return where the weights of a run are kept."""
    return file.with_suffix("") / f"{tag}-{seed}.safetensors"


def load(options: argparse.Namespace) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Return training and test images."""
    name = recipe(NAME).dataset
    return datasets.load(name, "train", options.data), datasets.load(name, "test", options.data)


def main(argv: Sequence[str] | None = None) -> None:
    """Do the runs that are missing, print the table and draw the curve; exit with status 2 on what can be mended."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("json", metavar="FILE", type=Path, help="where the results are kept")
    parser.add_argument("--tasks", nargs="+", choices=[*pretext.TASKS], default=[*pretext.TASKS], metavar="TASK")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--views", type=int, default=4_000_000, help="budget of each run (default: 4,000,000)")
    parser.add_argument("--minutes", type=float, default=4, help="the other budget (default: 4)")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--device", default="auto", metavar="NAME", help=f"that computes: {devices.KINDS} (auto)")
    parser.add_argument("--export", metavar="DIR", type=Path, help="only export models of seed 0 there")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)  # of one run's process
    options = parser.parse_args(argv)
    try:
        run(options)
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped: the same command goes on with the runs that are missing\n")


def run(options: argparse.Namespace) -> None:
    """Do what the options say."""
    budget = Budget(options.views, options.minutes)
    if options.part:
        ((tag, seed),) = itertools.product(options.tasks, options.seeds)
        points = train_one(
            tag, seed, budget, *load(options), weights(options.json, tag, seed), devices.pick(options.device)
        )
        options.part.write_text(json.dumps(points))
        return
    if options.json.exists():
        record = json.loads(options.json.read_text())
    else:
        description = load(options)[0].description
        device = devices.pick(options.device)
        machine = environment.machine("" if device.is_cpu else device.name)
        record = {"machine": machine, "versions": environment.versions(), "data": description, "runs": {}}
        record["budget"] = dataclasses.asdict(budget)
    if options.export:
        export_all(options, record)
        return
    if record["budget"] != dataclasses.asdict(budget):
        raise errors.ArgumentError(f"{options.json} is of the budget {record['budget']}: use that, or another file")
    part = options.json.with_suffix(".part")
    weights(options.json, "", 0).parent.mkdir(parents=True, exist_ok=True)
    for seed, tag in itertools.product(options.seeds, options.tasks):
        if f"{tag}-{seed}" in record["runs"]:
            continue
        command = [sys.executable, __file__, str(options.json), "--part", str(part), "--tasks", tag]
        command += ["--seeds", str(seed), "--views", str(budget.views), "--minutes", str(budget.minutes)]
        command += ["--device", options.device]
        command += ["--data", str(options.data)] if options.data else []
        if subprocess.run(command, check=False).returncode:
            raise errors.TrainingError(f"the run of {tag} with seed {seed} failed, see above; those before are kept")
        record["runs"][f"{tag}-{seed}"] = json.loads(part.read_text())
        part.write_text(json.dumps(record, indent=2) + "\n")
        part.replace(options.json)
    print(table(record))
    if drawn := picture(record):
        options.json.with_suffix(".svg").write_text(drawn)


if __name__ == "__main__":
    main()
