#!/usr/bin/env python
"""Turn a checkpoint of relational reasoning from elsewhere into a model folder of the zoo.

Two kinds are read: what the paper's code saves, {"backbone", "relation", "optimizer"} of Conv4, a small ResNet or
ResNet-34; and a bare state_dict of a backbone, as the paper's short script, articles about it and torchvision save it.
Only tensors are unpickled, never code, and each has to fit the backbone.
"""

import startup  # noqa: F401  # isort: skip  # before torch loads

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rrzoo import backbones, datasets, errors, weights, zoo
from rrzoo.config import Architecture, ModelConfig
from rrzoo.model import Model
from rrzoo.relation import AGGREGATIONS
from rrzoo.store import golden
from rrzoo.store.save import save

PARTS = {"backbone", "relation", "optimizer"}  # of the paper's files
# How images were prepared: side in px; mean and deviation of red, green, blue in 0..1
PAPER = {
    "cifar10": (32, (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
    "cifar100": (32, (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
    "cifar100-20": (32, (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
    "slimagenet64": (64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "stl10": (96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "tinyimagenet": (64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
}
TORCHVISION = {"imagenet": (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
ARTICLE = {**PAPER, **TORCHVISION, "stl10": (96, (0.4406, 0.4273, 0.3858), (0.2687, 0.2613, 0.2685))}


def main(argv: Sequence[str] | None = None) -> None:
    """Import; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", type=Path, help="checkpoint, as torch.save wrote it")
    parser.add_argument("--backbone", required=True, choices=backbones.BACKBONES, help="what it is a checkpoint of")
    parser.add_argument("--dataset", required=True, choices=ARTICLE, help="what it was trained on")
    parser.add_argument("--aggregation", choices=AGGREGATIONS, default="cat", help="of the relation head (%(default)s)")
    parser.add_argument("--name", help="of the model; default: BACKBONE-DATASET")
    options = parser.parse_args(argv)
    name = options.name or f"{options.backbone}-{options.dataset}"
    try:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
            raise errors.ArgumentError(f"{name!r} is no name of a model: letters, digits, '-', '_' and '.' make one")
        print(run(options.file, options.backbone, options.dataset, options.aggregation, name))
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")


def run(file: Path, backbone: str, dataset: str, aggregation: str, name: str) -> str:
    """Write the model folder; return what was found, what was left out and what is missing.

    Raises:
        errors.ModelFolderError: the file is no such checkpoint, or does not fit; or the model is there already.
    """
    if not file.is_file():
        raise errors.ModelFolderError(f"{file} is not a file: name a checkpoint that torch.save wrote")
    parts = weights.unpickle(file)
    bare = "backbone" not in parts
    if bare:
        parts = {"backbone": parts}
    elif unknown := sorted(map(repr, parts.keys() - PARTS)):
        raise errors.ModelFolderError(f"{file} has the unknown part {unknown[0]}: known are {', '.join(sorted(PARTS))}")
    relates = "relation" in parts
    preparations = ARTICLE if bare else PAPER
    if dataset not in preparations:
        raise errors.ModelFolderError(f"{file} is a checkpoint of the paper's code, which knows no {dataset}")
    size, mean, std = preparations[dataset]
    architecture = Architecture(backbone, size, mean, std, aggregation=aggregation if relates else None)
    kind = "a bare state_dict" if bare else "a checkpoint of the paper's code"
    how = "trained" if dataset in TORCHVISION else "trained without labels"  # torchvision's saw labels
    origin = f"imported from {kind}; by the account of who imported it, {how} on {dataset}"
    with torch.random.fork_rng(devices=[]):
        model = Model(ModelConfig(name, architecture, origin=origin))

    given, left_out = known_names(backbone, tensors(file, "backbone", parts["backbone"]))
    fill(file, backbone, model.backbone, given)
    lines = [f"{file} is {kind}", f"found: backbone {backbone}, {len(given)} tensors"]
    if relates:
        head = tensors(file, "relation", parts["relation"])
        fill(
            file,
            f"a relation head with --aggregation {aggregation}",
            model.require_relation_head(),
            head,
        )
        lines.append(f"found: relation head, {len(head)} tensors")
    if "optimizer" in parts:
        left_out.append("optimizer, its state")
    lines += [f"left out: {part}" for part in left_out]
    if not relates:
        lines.append("missing: relation head; the model can't relate pictures")
    lines.append("missing: linear probe, recipe and measured figures; the model can't classify")
    check_outputs(file, model)
    folder = zoo.zoo_root() / name
    save(model, folder)
    lines.append(f"taken for {dataset}: {size} x {size} px, mean {mean}, deviation {std}")
    measured = dataset if dataset in datasets.names() else "clay10"
    command = f"python scripts/evaluate.py {name} --dataset {measured}"
    return "\n".join([*lines, f"written to {folder}; measure it with: {command}"])


def tensors(file: Path, part: str, content: object) -> dict[str, Tensor]:
    """Return a state_dict whose values are plain tensors with finite numbers."""
    if not isinstance(content, dict) or not content:
        raise errors.ModelFolderError(f"{part} of {file} is {type(content).__name__}, or empty: a state_dict is needed")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise errors.ModelFolderError(
                f"{name!r:.60} in {part} of {file} is {type(value).__name__}: names of tensors are needed"
            )
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64):
            raise errors.ModelFolderError(f"{name} in {part} of {file} is {value.dtype}, {value.layout}: not supported")
    return content


def known_names(backbone: str, given: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename parameters to ours; return them, and what is left out of them."""
    left_out = []
    if backbone == "conv4":  # the article's layers have numbers where the paper's have names
        numbers = {"0": "conv", "1": "bn"}
        renamed = {re.sub(r"(?<=^layer\d\.)[01](?=\.)", lambda n: numbers[n[0]], name): v for name, v in given.items()}
        if len(renamed) < len(given):
            raise errors.ModelFolderError("a layer's tensor is there twice, by number and by name: keep one of them")
        return renamed, left_out
    if backbone in ("resnet18", "resnet34", "resnet50"):
        classifier = {"fc.weight", "fc.bias"} & given.keys()
        if classifier:
            width = len(given["fc.bias"]) if "fc.bias" in given and given["fc.bias"].dim() == 1 else "?"
            left_out.append(f"fc, torchvision's last layer with {width} outputs: features are what goes into it")
        given = {f"resnet.{name}": value for name, value in given.items() if name not in classifier}
    return given, left_out


def fill(file: Path, what: str, module: nn.Module, given: dict[str, Tensor]) -> None:
    """Load tensors that are exactly those of the module."""
    own = module.state_dict()
    problems = [f"{name} is unknown" for name in sorted(given.keys() - own.keys())]
    problems += [f"{name} is missing" for name in sorted(own.keys() - given.keys())]
    if not problems:
        arrived, needed = ({name: kind(state[name]) for name in own} for state in (given, own))
        problems = [f"{name} is {arrived[name]}, not {needed[name]}" for name in own if arrived[name] != needed[name]]
    if not problems:
        problems = [f"{name} holds values that are not finite" for name in own if not given[name].isfinite().all()]
    if not problems:
        problems = [f"{name} is negative" for name in own if name.endswith("running_var") and given[name].min() < 0]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise errors.ModelFolderError(f"{file} does not fit {what}: {problems[0]}{more}")
    module.load_state_dict(given)


def kind(tensor: Tensor) -> str:
    """Say what has to agree between tensors."""
    return f"{'float' if tensor.is_floating_point() else 'int'} {tuple(tensor.shape)}"


def check_outputs(file: Path, model: Model) -> None:
    """Refuse weights that are finite, but compute what is not."""
    images = golden.golden_images(model.config.architecture.image_size)
    for name, output in golden.golden_outputs(model, images).items():
        if not np.isfinite(output).all():
            raise errors.ModelFolderError(f"{file} computes {name} that are not finite: its weights are of no use")


if __name__ == "__main__":
    main()
