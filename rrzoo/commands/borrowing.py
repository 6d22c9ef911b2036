"""What `rrzoo train` does for backbones of timm: the recipe, where the weights come from, what their licence says."""

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from rrzoo import backbones, datasets, environment, errors, features, hub, ranks, training, weights
from rrzoo.commands import computing
from rrzoo.config import BorrowedWeights, Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device

SOURCES = ("hub", "package", "none")  # of weights, beside files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is of use to borrowed backbones alone."""
    group = parser.add_argument_group("a backbone that others trained")
    group.add_argument("--backbone", metavar="timm:NAME", help="borrow it; NAME is then what the model shall be called")
    group.add_argument(
        "--weights",
        metavar="FILE",
        help="safetensors or a state_dict; or hub, package or none (random): default hub, the Hugging Face Hub",
    )
    group.add_argument(
        "--freeze", choices=("all", "none"), help="what of it stays as it is (all): only the head learns, in a minute"
    )
    group.add_argument("--image-size", metavar="PX", type=int, help="side of the pictures; default: the backbone's own")


def name_of(backbone: str, dataset: str | None) -> str:
    """Return what a model is called that the user gives no name."""
    architecture = backbone.removeprefix(backbones.PREFIX).partition(".")[0]
    return f"{architecture}-{Path(dataset or '').name.removeprefix(datasets.FOLDER) or 'pictures'}"


def recipe_of(backbone: str, dataset: str | None) -> Recipe:
    """Return the recipe by which a head is trained on a borrowed backbone.

    Raises:
        errors.ArgumentError: the backbone is not one of timm's, or no data set is named.
    """
    backbones.check_name(backbone)
    if not backbones.is_borrowed(backbone):
        raise errors.ArgumentError(f"{backbone!r} is not borrowed: write timm: and a name of timm's")
    known = backbones.preparation(backbone)
    if dataset is None:
        raise errors.ArgumentError("a borrowed backbone's head learns from pictures: name them with --dataset")
    return Recipe(
        backbone,
        dataset,
        known.image_size,
        views=6,
        epochs=60,
        loss="bce",
        learning_rate=3e-3,
        decay_start=0.5,
        weights="hub",
        freeze="all",
        crop=known.crop,
        interpolation=known.interpolation,
    )


def changes(chosen: Recipe, options: argparse.Namespace) -> dict[str, object]:
    """Return the fields of a recipe that the options change.

    Raises:
        errors.ArgumentError: its backbone is not borrowed, and there are any.
    """
    changed: dict[str, object] = {}
    if options.weights is not None:
        given = options.weights
        changed["weights"] = None if given == "none" else given if given in SOURCES else Path(given).name
        if given == "none":
            changed["freeze"] = "none"
    if options.freeze is not None:
        changed["freeze"] = options.freeze
    if options.image_size is not None:
        changed["image_size"] = options.image_size
    if changed and not backbones.is_borrowed(chosen.backbone):
        raise errors.ArgumentError(
            f"--weights, --freeze and --image-size are for borrowed backbones, and this one is {chosen.backbone}: "
            "name one with --backbone timm:NAME"
        )
    return changed


def take(chosen: Recipe, given: str | None) -> tuple[backbones.BorrowedBackbone, BorrowedWeights]:
    """Return the backbone that a recipe names with its weights, and what there is to say of these.

    Args:
        chosen: the recipe.
        given: --weights.

    Raises:
        errors.HubError: the Hub can't be reached; the message says what to do without it.
    """
    name = chosen.backbone
    if chosen.weights is None:
        return weights.borrow(name, None, "random weights")
    if chosen.weights == "package":
        return weights.borrow_packaged(name)
    if chosen.weights != "hub":
        file = Path(given or chosen.weights)
        return weights.borrow(name, file, f"the file {file.name}")
    known = backbones.preparation(name)
    if not known.repository:
        raise errors.ArgumentError(f"timm knows no weights of {name} on the Hub: name a file with --weights FILE")
    try:
        file, commit = hub.fetch_file(hub.Source(known.repository), known.file)
    except errors.HubError as problem:
        raise errors.HubError(f"{problem}; or name a file that you have: --weights FILE") from None
    return weights.borrow(name, file, f"{known.repository} on the Hugging Face Hub", commit)


def describe(chosen: Recipe, record: BorrowedWeights, backbone: backbones.Backbone, pictures: int) -> str:
    """Say whose weights these are, what their licence forbids, and how much room and time the run takes."""
    lines = [f"backbone {chosen.backbone}: {record.source}"]
    if chosen.weights is not None:
        learnt = f", trained on {record.data}" if record.data else ""
        lines[0] = (
            f"backbone {chosen.backbone}: weights of {record.source}{learnt}; licence {record.licence or 'not stated'}"
        )
        if warning := weights.restriction(record.licence):
            lines.append(f"NOTE: of these weights, {warning}")
    if chosen.freeze == "none":
        lines.append(f"memory that a step takes: about {step_bytes(chosen, backbone) / 1e9:.1f} GB")
    if chosen.freeze == "all":
        size = training.bytes_of(chosen, backbone, pictures) / 1e6
        lines.append(f"features of {chosen.views} views of {pictures:,} pictures: {size:,.0f} MB on disk meanwhile")
    return "\n".join(lines)


def step_bytes(chosen: Recipe, backbone: backbones.Backbone) -> int:
    """Return about how many bytes a step keeps of its views where all of the backbone learns.

    Raises:
        errors.ArgumentError: that is more than this machine has, which would end it without a word.
    """
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with features.eval_mode(backbone), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = backbone(torch.zeros(1, 3, chosen.image_size, chosen.image_size))
    for parameter in backbone.parameters():
        kept.pop(parameter.data_ptr(), None)
    del result
    needed = sum(kept.values()) * chosen.views * chosen.batch_size
    physical = environment.memory()
    if needed > physical and not torch.cuda.is_available():
        raise errors.ArgumentError(
            f"a step of {chosen.views} views of {chosen.batch_size} pictures of {chosen.image_size} px takes about "
            f"{needed / 1e9:.0f} GB of memory, and this machine has {physical / 1e9:.0f}: take fewer --views, a "
            "smaller --batch-size or --image-size, or let the backbone stay as it is with --freeze all"
        )
    return needed


def pretrain(
    chosen: Recipe, images: Dataset, run: Path, resume: bool, options: argparse.Namespace
) -> tuple[training.Pretrained, Dataset]:
    """Borrow the backbone and train what the recipe leaves to learn; say what is borrowed, and what it costs, before.

    Returns:
        what was learnt, and the images, normalised as the backbone takes them.

    Raises:
        errors.ArgumentError: several ranks, where the backbone is frozen.
    """
    device = computing.device(options)
    if chosen.freeze == "all" and ranks.this().count > 1:
        raise errors.ArgumentError("a head on a frozen backbone learns in one process: start without torchrun")
    backbone, record = take(chosen, options.weights)
    backbone.check(chosen.image_size)
    print(describe(chosen, record, backbone, len(images)), flush=True)
    (red, green, blue), (red_std, green_std, blue_std) = record.mean, record.std
    images = dataclasses.replace(images, mean=(red, green, blue), std=(red_std, green_std, blue_std))
    if chosen.freeze == "none":
        pretrained = training.pretrain(chosen, images, run, resume, options.minutes, backbone, device)
    else:
        pretrained, report = training.train_head(chosen, backbone, images, run, options.minutes, device, resume=resume)
        print(held_out(report))
    return dataclasses.replace(pretrained, borrowed=record), images


def estimate(chosen: Recipe, device: Device) -> float:
    """Return about how many seconds the features of one picture's views take here; the head takes few beside that."""
    backbone = backbones.create(chosen.backbone).eval().to(device.where)
    backbone.check(chosen.image_size)
    pictures = torch.zeros(8, 3, chosen.image_size, chosen.image_size, device=device.where)
    with torch.no_grad():
        backbone(pictures).sum().item()
        begun = time.perf_counter()
        backbone(pictures).sum().item()  # waits for a GPU
    return (time.perf_counter() - begun) / 8 * chosen.views


def held_out(report: training.HeldOut) -> str:
    """Say how well the head does on pictures that it has not learnt from, and that cosine does better where it does."""
    lines = [f"on {report.pictures:,} held-out pictures: {_figures(report)}"]
    if report.cosine is not None:
        lines.append(f"cosine of the same features, for comparison: {_figures(report.cosine)}")
        if report.cosine.auc_same_image >= report.auc_same_image:
            lines.append("NOTE: the head does no better than cosine: go by cosine, or let it learn from more pictures")
    return "\n".join(lines)


def _figures(report: training.HeldOut) -> str:
    same_class = "" if report.auc_same_class is None else f", same class {report.auc_same_class:.3f}"
    return (
        f"area under ROC, same picture {report.auc_same_image:.3f}{same_class}; views found at one false alarm in "
        f"1,000: {report.recall_1e_3:.1%}, in 10,000: {report.recall_1e_4:.1%}"
    )
