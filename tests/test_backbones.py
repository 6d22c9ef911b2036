"""One contract over all backbones, and Conv4 against the paper's numbers."""

import pytest
import torch

from rrzoo import backbones, errors


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_contract(name: str) -> None:
    torch.manual_seed(0)
    backbone = backbones.create(name)
    features = backbone(torch.randn(4, 3, 32, 32))
    assert features.shape == (4, backbone.feature_size)
    assert features.dtype == torch.float32
    assert (features >= 0).all()
    (features * torch.randn_like(features)).sum().backward()
    for parameter, value in backbone.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize(("name", "width"), [("conv4", 1), ("conv4x2", 2), ("conv4x4", 4)])
def test_conv4_is_the_papers_times_its_width(name: str, width: int) -> None:
    backbone = backbones.create(name)
    shapes = {name: tuple(value.shape) for name, value in backbone.named_parameters()}
    channels = [3, 8 * width, 16 * width, 32 * width, 64 * width]
    for layer in range(4):
        assert shapes.pop(f"layer{layer + 1}.conv.weight") == (channels[layer + 1], channels[layer], 3, 3)
        assert shapes.pop(f"layer{layer + 1}.bn.weight") == (channels[layer + 1],)
        assert shapes.pop(f"layer{layer + 1}.bn.bias") == (channels[layer + 1],)
    assert not shapes
    weight = backbone.layer4.conv.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64 * width)) ** 0.5, rel=0.03)


def test_conv4_computes_what_the_paper_says() -> None:
    backbone = backbones.create("conv4")
    x = images = torch.randn(16, 3, 32, 32)
    for layer, pool in enumerate([2, 2, 2, 4]):
        weight = backbone.get_parameter(f"layer{layer + 1}.conv.weight")
        x = torch.nn.functional.conv2d(x, weight, padding=1)
        x = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = x.clamp(min=0).unfold(2, pool, pool).unfold(3, pool, pool).mean((4, 5))
    torch.testing.assert_close(backbone(images), x.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "convolutions"), [("resnet8", 7), ("resnet32", 31), ("resnet56", 55)])
def test_small_resnets_have_their_depth(name: str, convolutions: int) -> None:
    layers = [m for m in backbones.create(name).modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(layers) == convolutions


def test_unknown_backbone() -> None:
    with pytest.raises(errors.ArgumentError, match=r"'con4'.*did you mean conv4"):
        backbones.create("con4")
