"""Backbones that others designed and trained, by timm (Wightman 2019): its modules, up to their own pooling.

`timm_names` looks them up; `efficientnet_lite` has one of them without timm.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rrzoo import errors
from rrzoo.backbones import folding
from rrzoo.backbones.backbone import Backbone
from rrzoo.backbones.timm_names import look_up

MOST_PIXELS = 1024  # side of the pictures that it may take


class BorrowedBackbone(Backbone):
    """A model of timm up to its own pooling: (N, 3, S, S) float -> (N, feature_size) float."""

    batch_pixels = 16 * 160 * 160

    def __init__(self, name: str) -> None:
        """Build it with random weights.

        Args:
            name: "timm:NAME" or "timm:NAME.TAG".

        Raises:
            errors.ArgumentError: timm is missing or too old, or knows no such name; or the model takes no RGB pictures.
        """
        super().__init__()
        build, config = look_up(name)
        self.name = name
        self.native_size: int = config["input_size"][1]
        self.net: Any = _create(build, config)  # a module with more than torch's attributes
        self.net.to(memory_format=torch.channels_last)  # a third faster on CPUs
        self.feature_size = int(getattr(self.net, "head_hidden_size", None) or self.net.num_features)
        self.has_maps = False  # until `check` has found some
        self._fast: tuple[object, tuple[Any, ...]] | None = None  # versions of the tensors, and the folded network

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) float to (N, feature_size) float."""
        net = self.net if self.training or torch.is_grad_enabled() else self._inference(images)
        features: Tensor = net(images.contiguous(memory_format=torch.channels_last))
        return features

    def feature_map(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) float to (N, feature_size, h, w) float, whose means are the features.

        Raises:
            errors.ArgumentError: there are none, since the model yields tokens, or more than means of its maps.
        """
        if not self.has_maps:
            raise errors.ArgumentError(
                f"{self.name} has no feature maps whose means are its features, as transformers and some others have "
                "none: use pooling 1"
            )
        return self._maps(images)

    @torch.no_grad()
    def check(self, size: int) -> None:
        """Run one picture of `size` px through, and find out what there is.

        Raises:
            errors.ArgumentError: the backbone can't take it, or it would take minutes and gigabytes.
        """
        if size > MOST_PIXELS:
            raise errors.ArgumentError(
                f"{self.name} is asked to take pictures of {size} px: at most {MOST_PIXELS} are allowed, its own size "
                f"is {self.native_size} px"
            )
        picture = torch.linspace(-1, 1, 3 * size * size).view(3, size, size)[None]
        training = self.training
        self.eval()
        try:
            features, maps = self(picture), self._maps(picture)
        except (RuntimeError, AssertionError, ValueError, IndexError) as problem:
            raise errors.ArgumentError(
                f"{self.name} can't take pictures of {size} px ({errors.first_line(problem)}): its own size is "
                f"{self.native_size} px"
            ) from None
        finally:
            self.train(training)
        if features.shape != (1, self.feature_size):
            raise errors.ArgumentError(
                f"{self.name} yields {tuple(features.shape)} of a picture, not {self.feature_size} numbers: "
                "borrow another backbone"
            )
        self.has_maps = (
            maps.ndim == 4
            and maps.shape[:2] == features.shape
            and torch.allclose(maps.mean((2, 3)), features, rtol=1e-3, atol=1e-5)
        )

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights, each of which has to fit: those of timm's own names, or any that timm itself can convert.

        Args:
            tensors: by name, with or without those of the classifier.

        Raises:
            errors.ArgumentError: they are another architecture's; the message names what does not fit.
        """
        own = self.net.state_dict()
        classifier = _classifier(self.net.pretrained_cfg)
        given = {name: one for name, one in tensors.items() if not name.startswith(classifier)}
        if problems := _misfits(own, given):
            given = self._converted(dict(tensors), problems)
        if wrong := [name for name, one in given.items() if not torch.isfinite(one).all()]:
            raise errors.ArgumentError(f"{wrong[0]} of {self.name} holds values that are not finite: fetch it again")
        self.net.load_state_dict(given)

    def in_order(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors, classifier included, under timm's names, which come in the same order.

        Raises:
            errors.ArgumentError: there are more or fewer than the model has.
        """
        build, _ = look_up(self.name)
        names = list(build().state_dict())
        if len(names) != len(tensors):
            raise errors.ArgumentError(f"{len(tensors)} tensors arrived: {self.name} has {len(names)}")
        return dict(zip(names, tensors.values(), strict=True))

    def _inference(self, images: Tensor) -> Any:
        """Return the network with BatchNorm folded, made again whenever a weight has changed; a third faster."""
        versions = folding.versions(self.net)
        if self._fast is None or self._fast[0] != versions:
            fast = folding.folded(self.net)
            if fast is None or not folding.agree(self.net, fast, images[:1]):
                fast = self.net
            self._fast = versions, (fast,)  # in a tuple: else its tensors would become part of this module
        return self._fast[1][0]

    def _maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.net.forward_features(images.contiguous(memory_format=torch.channels_last))
        return maps.permute(0, 3, 1, 2) if str(getattr(self.net, "output_fmt", "")).endswith("NHWC") else maps

    def _converted(self, tensors: dict[str, Tensor], problems: list[str]) -> dict[str, Tensor]:
        """Return weights of other names or sizes as timm's own loader reads them, which is strict then."""
        build, config = look_up(self.name)
        try:
            net = _create(build, config, pretrained_cfg_overlay={"state_dict": tensors})
        except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError):
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise errors.ArgumentError(
                f"the weights are not {self.name}'s: {problems[0]}{more}. Name the architecture that they are of"
            ) from None
        return dict(net.state_dict())


def _create(build: Callable[..., Any], config: dict[str, Any], **options: object) -> Any:
    """Return a module without its classifier; where timm lets it, one that takes other sizes than its own."""
    options |= {"pretrained": True} if options else {}
    net = _of_any_size(build, options) if config.get("fixed_input_size") else None
    net = build(**options) if net is None else net
    net.reset_classifier(0)
    return net.eval()


def _of_any_size(build: Callable[..., Any], options: dict[str, Any]) -> Any | None:
    """Return a transformer that takes other sizes than its own, by the option that it has; None: it has none."""
    for option in ({"dynamic_img_size": True}, {"strict_img_size": False}):  # the latter of Swin before timm 1.0.31
        with contextlib.suppress(TypeError):
            net = build(**option, **options)
            if not getattr(getattr(net, "patch_embed", None), "strict_img_size", False):
                return net
    return None


def _classifier(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how the names of a classifier's tensors begin."""
    names = config.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    missing = [f"{name} is missing" for name in own if name not in given]
    unknown = [f"{name} is unknown" for name in given if name not in own]
    return [
        *(
            f"{name} is {tuple(given[name].shape)}, not {tuple(one.shape)}"
            for name, one in own.items()
            if name in given and given[name].shape != one.shape
        ),
        *missing,
        *unknown,
    ]
