"""EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946, without its squeeze-and-excitation, with ReLU6), TensorFlow's.

It is timm's tf_efficientnet_lite0, tensor for tensor and bit for bit. The model that the demo opens with stands on it:
to import timm for it would take longer than to import torch, as torchvision and torch's compiler come along.
"""

import math
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

NAMES = ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k")  # what timm calls it
STEM, FEATURES, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of BatchNorm: TensorFlow's
STAGES = (  # blocks, kernel, stride of the first block, channels
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)
EXPANSION = 6  # of all stages but the first, which has no hidden layer


class SameConv(nn.Conv2d):
    """A convolution without offset that pads as TensorFlow's "same": so that there are ceil(side / stride) outputs."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        """Pad a stride of 1 alike on both sides, one of 2 as the picture's size asks for."""
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # torch's own name, input, is a builtin's, too
        """Map (N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        (stride, _), (kernel, _) = self.stride, self.kernel_size
        if stride > 1:
            missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
            down, across = missing
            x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return super().forward(x)


class Separable(nn.Module):
    """A depthwise convolution, then one of 1 x 1 without activation; the input added, where shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        """Map `channels` to `out`."""
        super().__init__()
        self.conv_dw = SameConv(channels, channels, kernel, stride, channels)
        self.bn1 = nn.BatchNorm2d(channels, EPSILON)
        self.conv_pw = SameConv(channels, out)
        self.bn2 = nn.BatchNorm2d(out, EPSILON)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, out, ...)."""
        y: Tensor = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))
        return y + x if self.adds else y


class InvertedResidual(nn.Module):
    """Widen by 1 x 1, convolve depthwise, narrow by 1 x 1 without activation; the input added, where shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        """Map `channels` to `out`."""
        super().__init__()
        hidden = EXPANSION * channels
        self.conv_pw = SameConv(channels, hidden)
        self.bn1 = nn.BatchNorm2d(hidden, EPSILON)
        self.conv_dw = SameConv(hidden, hidden, kernel, stride, hidden)
        self.bn2 = nn.BatchNorm2d(hidden, EPSILON)
        self.conv_pwl = SameConv(hidden, out)
        self.bn3 = nn.BatchNorm2d(out, EPSILON)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, out, ...)."""
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        z: Tensor = self.bn3(self.conv_pwl(y))
        return z + x if self.adds else z


class EfficientNetLite0(nn.Module):
    """What timm.create_model("tf_efficientnet_lite0") returns, as far as `BorrowedBackbone` uses it."""

    num_features = FEATURES
    pretrained_cfg: ClassVar[dict[str, Any]] = {  # what timm says of the weights in1k
        "hf_hub_id": "timm/tf_efficientnet_lite0.in1k",
        "tag": "in1k",
        "input_size": (3, 224, 224),
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "classifier": "classifier",
        "license": "apache-2.0",
    }

    def __init__(self) -> None:
        """Draw random weights, as TensorFlow's authors do."""
        super().__init__()
        self.conv_stem = SameConv(3, STEM, 3, 2)
        self.bn1 = nn.BatchNorm2d(STEM, EPSILON)
        stages, channels = [], STEM
        for number, (count, kernel, stride, out) in enumerate(STAGES):
            blocks: list[nn.Module] = []
            for place in range(count):
                kind = InvertedResidual if number else Separable
                blocks.append(kind(channels, out, kernel, 1 if place else stride))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = SameConv(channels, FEATURES)
        self.bn2 = nn.BatchNorm2d(FEATURES, EPSILON)
        self.classifier: nn.Module = nn.Linear(FEATURES, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to what the classifier says of the features, (N, 1280) where it was taken out."""
        answers: Tensor = self.classifier(self.forward_features(images).mean((2, 3)))
        return answers

    def forward_features(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, 1280, ceil(H / 32), ceil(W / 32)) float."""
        return F.relu6(self.bn2(self.conv_head(self.blocks(F.relu6(self.bn1(self.conv_stem(images)))))))

    def reset_classifier(self, classes: int) -> None:
        """Take the classifier out, or put one of `classes` in."""
        self.classifier = nn.Linear(FEATURES, classes) if classes else nn.Identity()
