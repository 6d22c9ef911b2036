#!/usr/bin/env python
"""Measure rrzoo against the article's plain PyTorch loop (reference.py) on this machine, part by part, in one run."""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import drawing
import reference
import rrzoo
from rrzoo import backbones, datasets, environment, errors, pretext, relation, training
from rrzoo.config import Architecture, ModelConfig, Recipe
from rrzoo.datasets import Dataset
from rrzoo.evaluation import probes
from rrzoo.images import in_order, read, to_square
from rrzoo.kernels import conv4

IMAGES = 512  # that training steps and views are made from
BATCH = 64  # M, images a step
SCRIPTS = Path(__file__).parent

EPILOG = """Both sides run by turns in one process, warmed up, and medians are compared; views and steps are of the
steady state. Nothing else should run on the machine."""


@dataclass(frozen=True)
class Row:
    """One measurement. `ratio` is how many times better ours is."""

    part: str
    case: str
    ratio: float
    ours: float
    reference: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """What all parts share."""

    data: Dataset  # training split
    test: Dataset
    quick: bool

    def sized(self, size: int) -> Dataset:
        """Return the first images of the training split, scaled to a square of `size` px."""
        return replace(self.data, images=to_square(self.data.images[:IMAGES], size), labels=self.data.labels[:IMAGES])

    def step(self, backbone: str, size: int, views: int) -> training.TrainStep:
        """Return the training loop's own step."""
        torch.manual_seed(0)
        recipe = Recipe(backbone, self.data.name, size, views=views, batch_size=BATCH, loss="bce")
        sized = self.sized(size)
        task = pretext.create(recipe, backbones.create(backbone), sized)
        return training.TrainStep(task, sized)


def views(setting: Setting) -> Iterator[Row]:
    """Random views a second and core: CPU time counts, so other cores don't."""
    for size in (32, 64, 96):
        step = setting.step("conv4", size, views=16)
        batch = np.arange(BATCH)
        transform = reference.view_transform(size, setting.data.mean, setting.data.std)
        theirs = reference.MultiView(step.dataset.images, 1, transform)
        seconds, reference_seconds = alternate(
            lambda step=step, batch=batch: step.views(step.batch(0, batch)),
            lambda theirs=theirs: [theirs[i] for i in range(BATCH)],
            rounds=3 if setting.quick else 9,
            timer=time.process_time,
        )
        yield rate("views", f"{size} px", 16 * BATCH / seconds, BATCH / reference_seconds, "views/s and core")


def relation_head(setting: Setting) -> Iterator[Row]:
    """Pairs, head, loss and their gradients, from features of M = 64 images."""
    for count, size in ((16, 64), (32, 64), (64, 64), (32, 1000)):
        ours, theirs = head_steps(count, size)
        rounds = 2 if setting.quick else 5
        seconds, reference_seconds = alternate(ours, theirs, rounds, repeat=5)
        yield times("relation_head", f"K={count}, D={size}", seconds, reference_seconds)
    if Path("/proc/self/clear_refs").exists():
        ours_mb, reference_mb = (float(run(f"import bench; print(bench.extra_memory({side}))")) for side in range(2))
        yield Row("relation_head", "K=64, D=64, extra memory", reference_mb / ours_mb, ours_mb, reference_mb, "MB")


def head_steps(count: int, size: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return our step of the head and the reference's, on the same features."""
    torch.manual_seed(0)
    features = torch.randn(count * BATCH, size, requires_grad=True)
    head = relation.RelationHead(size)
    plain = reference.RelationalReasoning(torch.nn.Identity(), size)
    return (
        lambda: relation.bce_loss(*head.score_views(features, count)).backward(),
        lambda: plain.loss(features, count).backward(),
    )


def extra_memory(side: int) -> float:
    """Return by how many MB the process grows at most during a step of the head (0: ours, 1: the reference)."""

    def megabytes(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

    head_steps(2, 64)[side]()
    step = head_steps(64, 64)[side]
    before = megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    step()
    return megabytes("VmHWM") - before


def backbone(setting: Setting) -> Iterator[Row]:
    """Forward and backward pass of Conv4 and its widths."""
    for name, size, count in (("conv4", 32, 16), ("conv4", 96, 4), ("conv4x2", 32, 16), ("conv4x4", 32, 16)):
        step = setting.step(name, size, views=count)
        inputs = step.views(step.batch(0, np.arange(BATCH)))
        if inputs.ndim == 5:  # each side turns the views into the layout it likes
            inputs = conv4.unblock(inputs).contiguous()
        plain = backbones.create(name)
        seconds, reference_seconds = alternate(
            lambda step=step, inputs=inputs: step.task.extract(inputs).sum().backward(),
            lambda plain=plain, inputs=inputs: plain(inputs).sum().backward(),
            rounds=3 if setting.quick else 9,
        )
        number = count * BATCH
        yield rate("backbone", f"{name}, {size} px", number / seconds, number / reference_seconds, "views/s")


def end_to_end(setting: Setting) -> Iterator[Row]:
    """Whole training steps, from images in memory to new weights."""
    count = 16
    for name, size in (("conv4", 32), ("conv4", 96), ("conv4x2", 32), ("conv4x4", 32), ("resnet8", 32)):
        step = setting.step(name, size, count)
        plain_backbone = backbones.create(name)
        plain = reference.RelationalReasoning(plain_backbone, plain_backbone.feature_size)
        transform = reference.view_transform(size, setting.data.mean, setting.data.std)
        images = np.concatenate([step.dataset.images] * 100)  # an epoch that doesn't end while it is measured
        ours, theirs = [], []
        batch = np.arange(BATCH)
        for _ in range(1 if setting.quick else 3):
            loader = reference.batches(reference.MultiView(images, count, transform), BATCH)
            stamps = []
            for _ in range(5 if setting.quick else 8):
                plain.step(next(loader))
                stamps.append(time.perf_counter())
            loader.close()  # its workers would go on
            theirs += list(np.diff(stamps)[2:])  # the workers' first batches were made while nothing was learned
            with environment.keep_memory():  # as in training
                step(0, batch)
                for _ in range(5 if setting.quick else 10):
                    started = time.perf_counter()
                    step(0, batch)
                    ours.append(time.perf_counter() - started)
        number = count * BATCH
        medians = number / statistics.median(ours), number / statistics.median(theirs)
        yield rate("end_to_end", f"{name}, {size} px, K=16, M=64", *medians, "views/s")


def probe(setting: Setting) -> Iterator[Row]:
    """A linear probe of Conv4 at 32 px, trained if its model is at hand, from images to accuracy."""
    name, size = "conv4-cifar10", 32
    torch.manual_seed(0)
    model = rrzoo.Model(ModelConfig(name, Architecture("conv4", size, setting.data.mean, setting.data.std)))
    if name in rrzoo.list_models():
        model.backbone.load_state_dict(rrzoo.load(name).backbone.state_dict())
    else:
        name = "untrained"
    few = 10 if setting.quick else 1
    training, test = (
        replace(data, images=data.images[::few], labels=data.labels[::few]) for data in (setting.data, setting.test)
    )
    started = time.perf_counter()
    accuracy = probes.linear_probe_accuracy(
        model.features(training.images), training.labels, model.features(test.images), test.labels
    )
    seconds = time.perf_counter() - started
    labelled = (
        reference.Labelled(to_square(data.images, size), data.labels, training.mean, training.std)
        for data in (training, test)
    )
    started = time.perf_counter()
    theirs = reference.probe(model.backbone, model.backbone.feature_size, len(training.classes), *labelled, epochs=20)
    reference_seconds = time.perf_counter() - started
    yield Row(
        "probe",
        f"{len(training):,} + {len(test):,} images",
        reference_seconds / seconds,
        seconds,
        reference_seconds,
        "s",
        f"{name}; accuracy {accuracy:.1%} and {theirs:.1%}",
    )


def start(setting: Setting) -> Iterator[Row]:
    """From the start of the process to the end of the first step: Conv4, 32 px, K=16."""

    def first_step(side: str, **environment: str) -> float:
        command = [sys.executable, str(SCRIPTS / "first_step.py"), side]
        path = os.pathsep.join([str(SCRIPTS.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        return clock(lambda: subprocess.run(command, env=environment, capture_output=True, check=True))

    reference_seconds = first_step("reference")
    if setting.quick:  # the parts before have compiled all
        yield times("start", "kernels cached", first_step("rrzoo"), reference_seconds)
        return
    with tempfile.TemporaryDirectory() as cache:
        for case in ("cold", "kernels cached"):
            seconds = first_step("rrzoo", NUMBA_CACHE_DIR=cache)
            yield times("start", case, seconds, reference_seconds)


def decoding(setting: Setting) -> Iterator[Row]:
    """From files of photographs, 500 px, to arrays, against a bare loop of Pillow's on as many threads."""
    count = 100 if setting.quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(count)]
        for path, pixels in zip(paths, itertools.cycle(setting.data.images[:100]), strict=False):
            Image.fromarray(pixels).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)

        def bare(path: Path) -> np.ndarray:
            with Image.open(path) as picture:
                return np.asarray(picture.convert("RGB"))

        def theirs() -> None:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                for _ in pool.map(bare, paths):
                    pass

        def ours() -> None:
            for _ in in_order(read, paths):
                pass

        seconds, reference_seconds = alternate(ours, theirs, rounds=3)
        yield rate("decoding", f"{count:,} JPEGs, 500 px", count / seconds, count / reference_seconds, "images/s")


PARTS = (views, relation_head, backbone, end_to_end, probe, start, decoding)


def alternate(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int,
    repeat: int = 1,
    timer: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Run both by turns, `ours` `repeat` times in each round, after a warm-up; return the medians in seconds."""
    theirs()
    durations: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        with environment.keep_memory():  # as in training
            ours()  # takes the memory
            durations[0].extend(clock(ours, timer) for _ in range(repeat))
        durations[1].append(clock(theirs, timer))
    return statistics.median(durations[0]), statistics.median(durations[1])


def clock(function: Callable[[], object], timer: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that one call takes."""
    started = timer()
    function()
    return timer() - started


def run(code: str) -> str:
    """Run Python code beside this script in a process of its own and return what it prints."""
    command = [sys.executable, "-c", code]
    path = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def times(part: str, case: str, seconds: float, reference_seconds: float) -> Row:
    """Make a row of durations."""
    unit, factor = ("ms", 1e3) if seconds < 0.5 else ("s", 1.0)
    return Row(part, case, reference_seconds / seconds, seconds * factor, reference_seconds * factor, unit)


def rate(part: str, case: str, per_second: float, reference_per_second: float, unit: str) -> Row:
    """Make a row of rates."""
    return Row(part, case, per_second / reference_per_second, per_second, reference_per_second, unit)


def line(row: Row) -> str:
    """Lay a row of the table out."""
    figures = f"{row.ours:>12,.1f}{row.reference:>12,.1f} {row.unit:<18}"
    return f"{row.part:<15}{row.case:<30}{row.ratio:>8.1f}x{figures}{row.note}"


def picture(rows: list[Row], caption: str) -> str:
    """Draw the ratios as horizontal bars on a logarithmic scale, as SVG."""
    left, right, top, height = 300, 560, 50, 24
    low = min(1.0, *(row.ratio for row in rows))
    high = max(10.0, *(row.ratio for row in rows))

    def x(ratio: float) -> float:
        return left + right * float(np.log(ratio / low) / np.log(high / low))

    bottom = top + height * len(rows)
    parts = []
    for tick in (0.1, 0.3, 1, 3, 10, 30, 100, 300):
        if low <= tick <= high:
            parts.append(f'<path d="M{x(tick):.1f} {top}V{bottom}" stroke="{"#555" if tick == 1 else "#ddd"}"/>')
            parts.append(drawing.text(x(tick), bottom + 16, f"{tick:g}"))
    for number, row in enumerate(rows):
        y = top + height * number
        start, end = sorted((x(1.0), x(row.ratio)))
        parts += [
            drawing.text(left - 10, y + 16, f"{row.part}: {row.case}", "black", "end"),
            f'<rect x="{start:.1f}" y="{y + 4}" width="{end - start:.1f}" height="16" fill="#3b6ea8"/>',
            drawing.text(end + 5, y + 16, f"{row.ratio:.1f}", "black", "start"),
        ]
    return drawing.document(940, bottom + 52, "rrzoo against the plain PyTorch loop, times as good", parts, caption)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all parts and print them as a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and images, no cold start, under 3 minutes")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder that holds the data sets ($RRZOO_DATA)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw the ratios there, as SVG")
    options = parser.parse_args(argv)
    try:
        data, test = (datasets.load("cifar10", split, options.data) for split in ("train", "test"))
    except errors.DatasetError:
        data, test = (datasets.load("clay10", split) for split in ("train", "test"))
        print("CIFAR-10 is not there: clay10's pictures take its place")
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions().items())
    print(f"{environment.machine()}; {versions}\nimages: {data.description}, scaled where another size is measured\n")
    print(f"{'part':<15}{'case':<30}{'ratio':>9}{'rrzoo':>12}{'reference':>12}", flush=True)
    rows = []
    for part in PARTS:
        for row in part(Setting(data, test, options.quick)):
            rows.append(row)
            print(line(row), flush=True)
    if options.json:
        record = {
            "machine": environment.machine(),
            "versions": environment.versions(),
            "date": time.strftime("%Y-%m-%d"),
            "data": data.description,
            "quick": options.quick,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    if options.picture:
        options.picture.write_text(picture(rows, f"{environment.machine()}; {versions}"))


if __name__ == "__main__":
    main()
