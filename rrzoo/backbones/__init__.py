"""Backbones: from a batch of images (N, 3, S, S) to one feature vector per image (N, feature_size)."""

from collections.abc import Callable

from rrzoo import errors
from rrzoo.backbones.backbone import SMALLEST_INPUT, Backbone
from rrzoo.backbones.small import Conv4, SmallResNet
from rrzoo.backbones.torchvision_resnets import TorchvisionResNet

__all__ = ["BACKBONES", "SMALLEST_INPUT", "Backbone", "Conv4", "create"]

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "conv4": Conv4,
    "conv4x2": lambda: Conv4(2),
    "conv4x4": lambda: Conv4(4),
    "conv4x8": lambda: Conv4(8),
    "resnet8": lambda: SmallResNet(8),
    "resnet32": lambda: SmallResNet(32),
    "resnet56": lambda: SmallResNet(56),
    "resnet18": lambda: TorchvisionResNet("resnet18"),
    "resnet34": lambda: TorchvisionResNet("resnet34"),
    "resnet50": lambda: TorchvisionResNet("resnet50"),
}


def create(name: str) -> Backbone:
    """Return a new backbone with random weights.

    Raises:
        errors.ArgumentError: no backbone has that name.
    """
    if name not in BACKBONES:
        raise errors.ArgumentError(f"no backbone is called {name!r}: {errors.choices(name, BACKBONES)}")
    return BACKBONES[name]()
