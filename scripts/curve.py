#!/usr/bin/env python
"""Probe accuracy on CIFAR-10 against minutes of training, for rrzoo and for the paper's loop (reference.py)."""

import time

STARTED = time.perf_counter()

import startup  # noqa: E402, F401  # isort: skip  # before torch loads, while the clock runs

import argparse  # noqa: E402
import json  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

import drawing  # noqa: E402
from rrzoo import backbones, config, datasets, environment, model, pretext, recipes, training  # noqa: E402
from rrzoo.evaluation import probes  # noqa: E402

NAME = "conv4-cifar10"
EPILOG = """Ours trains anew for every number of minutes, a whole schedule each; the reference trains once with K=4 and
is measured on its way. Minutes count from the start of the process, compiling included, measuring not. Points that FILE
holds already are not measured again. Nothing else should run on the machine."""


def ours(minutes: float, data: datasets.Dataset, test: datasets.Dataset) -> list[dict[str, float]]:
    """Train as many epochs as fit; return one point."""
    recipe = recipes.recipe(NAME)
    torch.manual_seed(0)
    task = pretext.create(recipe, backbones.create(recipe.backbone), data)
    step, batch = training.TrainStep(task, data), np.arange(recipe.batch_size)
    step(0, batch)
    begun = time.perf_counter()
    for _ in range(20):
        step(0, batch)
    epoch = (time.perf_counter() - begun) / 20 * (len(data) // recipe.batch_size)
    left = 60 * minutes - (time.perf_counter() - STARTED)
    with tempfile.TemporaryDirectory() as folder:
        chosen = replace(recipe, epochs=max(1, int(left / epoch)))
        trained = training.pretrain(chosen, data, Path(folder) / "run")
    taken = time.perf_counter() - STARTED
    measured = accuracies(trained.backbone, recipe.image_size, recipe.model_size, data, test)
    return [{"minutes": taken / 60, **measured}]


def plain(minutes: list[float], data: datasets.Dataset, test: datasets.Dataset) -> list[dict[str, float]]:
    """Train the reference until the last of `minutes`; return a point for each."""
    import reference

    torch.manual_seed(0)
    backbone = backbones.create("conv4")
    learner = reference.RelationalReasoning(backbone, backbone.feature_size)
    transform = reference.view_transform(32, data.mean, data.std)
    loader = reference.batches(reference.MultiView(data.images, 4, transform), 64)
    sizes = 32, 48  # enlarged by the same factor as ours
    points, measuring = [], 0.0
    for limit in sorted(minutes):
        while time.perf_counter() - STARTED - measuring < 60 * limit:
            learner.step(next(loader))
        begun = time.perf_counter()
        minute = (begun - STARTED - measuring) / 60
        points.append({"minutes": minute, **accuracies(backbone, *sizes, data, test)})
        measuring += time.perf_counter() - begun
    loader.close()
    return points


def accuracies(
    backbone: backbones.Backbone, size: int, enlarged: int, data: datasets.Dataset, test: datasets.Dataset
) -> dict[str, float]:
    """Return a linear probe's accuracy on all images, enlarged as a recipe's `test_size` says, and at the views' size.

    The backbone goes on in training mode.
    """
    found = {}
    for name, side in (("accuracy", enlarged), ("accuracy_at_size_of_views", size)):
        measured = model.Model(config.ModelConfig(NAME, config.Architecture("conv4", side, data.mean, data.std)))
        measured.backbone.load_state_dict(backbone.state_dict())
        measured.eval()
        features, test_features = measured.features(data.images), measured.features(test.images)
        found[name] = probes.linear_probe_accuracy(features, data.labels, test_features, test.labels)
    return found


def picture(record: dict) -> str:
    """Draw both curves as SVG."""
    sides = (("rrzoo", "#3b6ea8", "rrzoo"), ("reference", "#b5651d", "plain PyTorch"))
    drawn = [
        drawing.Curve(label, colour, sorted((p["minutes"], p["accuracy"], 0.0) for p in record[side].values()))
        for side, colour, label in sides
    ]
    ticks = {float(minutes): f"{float(minutes):g} min" for minutes in record["rrzoo"]}
    return drawing.curves(
        f"{record['data']}: linear probe against minutes of training",
        drawn,
        ticks,
        f"{record['machine']}; one run each; images enlarged by half for the probe",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the points that are missing, one process for each curve's training, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("json", metavar="FILE", type=Path, help="where the points are kept; the picture is beside it")
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 5, 10])
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--side", choices=("rrzoo", "reference"), help=argparse.SUPPRESS)  # of one process
    options = parser.parse_args(argv)
    if options.side:
        data, test = (datasets.load("cifar10", split, options.data) for split in ("train", "test"))
        minutes = options.minutes
        points = ours(minutes[0], data, test) if options.side == "rrzoo" else plain(minutes, data, test)
        options.json.write_text(json.dumps({"data": data.description, "points": points}))
        return
    record = {"machine": environment.machine(), "versions": environment.versions(), "rrzoo": {}, "reference": {}}
    if options.json.exists():
        record = json.loads(options.json.read_text())
    missing = {side: [m for m in options.minutes if f"{m:g}" not in record[side]] for side in ("rrzoo", "reference")}
    runs = [("rrzoo", [m]) for m in missing["rrzoo"]] + [("reference", sorted(missing["reference"]))]
    part = options.json.with_suffix(".part")
    for side, minutes in runs:
        if not minutes:
            continue
        command = [sys.executable, __file__, str(part), "--side", side, "--minutes", *map(str, minutes)]
        subprocess.run([*command, *(["--data", str(options.data)] if options.data else [])], check=True)
        measured = json.loads(part.read_text())
        record["data"] = measured["data"]
        for minute, point in zip(minutes, measured["points"], strict=True):
            record[side][f"{minute:g}"] = point
            unscaled = f"{point['accuracy_at_size_of_views']:.2%} at the views' size"
            print(f"{side:<10} {point['minutes']:6.2f} min  {point['accuracy']:.2%}, {unscaled}", flush=True)
        part.write_text(json.dumps(record, indent=2) + "\n")
        part.replace(options.json)
    options.json.with_suffix(".svg").write_text(picture(record))


if __name__ == "__main__":
    main()
