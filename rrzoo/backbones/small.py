"""Conv4 and the three-stage ResNets of Patacchiola & Storkey 2020 (arXiv 2006.05849).

Layers, names of parameters and initialisation are theirs, so that the paper's checkpoints fit.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from rrzoo.backbones.backbone import Backbone


class Conv4(Backbone):
    """Four 3x3 convolutions of W times 8, 16, 32 and 64 channels, each with BatchNorm, ReLU and average pooling.

    The paper's has width W = 1. The last pooling is global, so any image of at least 8 x 8 px goes in: (N, 3, H, W)
    float -> (N, D) float, >= 0, where D = `feature_size` is 64 times the width.
    """

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.channels = 3, 8 * width, 16 * width, 32 * width, 64 * width  # of images, and behind each layer
        self.feature_size = self.channels[-1]
        pools = nn.AvgPool2d(2), nn.AvgPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
        self.layer1, self.layer2, self.layer3, self.layer4 = map(self._layer, self.channels, self.channels[1:], pools)
        initialise(self)

    @staticmethod
    def _layer(channels_in: int, channels_out: int, pool: nn.Module) -> nn.Sequential:
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
                bn=nn.BatchNorm2d(channels_out),
                relu=nn.ReLU(),
                pool=pool,
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, D) float."""
        pooled: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        return pooled.flatten(1)

    def feature_map(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, D, H / 8, W / 8) float, the last layer without its pooling."""
        maps: Tensor = self.layer4[:-1](self.layer3(self.layer2(self.layer1(images))))
        return maps


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, arXiv 1512.03385, figure 2)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class SmallResNet(Backbone):
    """ResNet for small images: 3 stages of 16, 32, 64 channels, depth 6 n + 2 (He et al. 2016, section 4.2).

    (N, 3, H, W) float -> (N, 64) float, >= 0.
    """

    feature_size = 64

    def __init__(self, depth: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, stride=1)
        self.layer2 = self._stage(16, 32, blocks, stride=2)
        self.layer3 = self._stage(32, 64, blocks, stride=2)
        initialise(self)

    @staticmethod
    def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(channels_in, channels_out, stride)
        return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, 64) float."""
        return self.feature_map(images).mean((2, 3))

    def feature_map(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, 64, H / 4, W / 4) float."""
        x = torch.relu(self.bn1(self.conv1(images)))
        maps: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return maps


def initialise(module: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / (kernel area * output channels)), as the paper's code does."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
