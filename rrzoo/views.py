"""K random views of each image: what relational reasoning learns from.

The augmentations are the paper's (arXiv 2006.05849, appendix A; torchvision's names): RandomResizedCrop with scale
0.08 to 1 and ratio 3/4 to 4/3, flip with p = 0.5, ColorJitter(0.8, 0.8, 0.8, 0.2) in random order with p = 0.8,
grayscale with p = 0.2, normalisation.

Drawing and applying are apart. `draw` derives every random number from (seed, epoch, image, view) by a counter-based
generator, so a view is the same whatever the batch, the device or the number of workers. `apply` is plain arithmetic
on whole batches and runs wherever its tensors live.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SCALE = (0.08, 1.0)  # area of the crop as a share of the image
RATIO = (3 / 4, 4 / 3)  # width / height of the crop
CROP_TRIES = 10
FLIP_PROBABILITY = 0.5
JITTER_PROBABILITY = 0.8
STRENGTH = (0.8, 0.8, 0.8, 0.2)  # of brightness, contrast, saturation, hue
GREY_PROBABILITY = 0.2

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # columns of `factors`, values of `order`
ORDERS = np.array(list(itertools.permutations(range(4))), np.int8)  # (24, 4)


@dataclass(frozen=True)
class ViewParameters:
    """The random numbers of N views. View n is made from image n % M: all first views, then all second views, ..."""

    top: np.ndarray  # int64 (N,), px
    left: np.ndarray  # int64 (N,), px
    height: np.ndarray  # int64 (N,), px
    width: np.ndarray  # int64 (N,), px
    flip: np.ndarray  # bool (N,)
    jitter: np.ndarray  # bool (N,): whether the four below apply
    factors: np.ndarray  # float32 (N, 4): brightness, contrast, saturation; hue as a share of the circle
    order: np.ndarray  # int8 (N, 4): the order in which the four apply
    grey: np.ndarray  # bool (N,)

    def __len__(self) -> int:
        """Return N."""
        return len(self.top)


def draw(seed: int, epoch: int, images: np.ndarray, views: int, height: int, width: int) -> ViewParameters:
    """Draw the parameters of `views` views of each image.

    Args:
        seed: of the run.
        epoch: so that every epoch has views of its own.
        images: int (M,), numbers of the images within the data set.
        views: K.
        height: of the images, px.
        width: of the images, px.

    Returns:
        N = K * M sets of parameters, distributed as torchvision's transforms draw theirs.
    """
    u = _Uniform(seed, epoch, np.tile(images, views), np.repeat(np.arange(views), len(images)))
    top, left, crop_height, crop_width = _draw_crops(u, height, width)
    flip = u() < FLIP_PROBABILITY
    jitter = u() < JITTER_PROBABILITY
    strength = np.array(STRENGTH)
    centre = np.array([1.0, 1.0, 1.0, 0.0])
    factors = centre + strength * (2 * np.stack([u() for _ in range(4)], axis=1) - 1)
    order = ORDERS[(u() * len(ORDERS)).astype(np.int64)]
    grey = u() < GREY_PROBABILITY
    return ViewParameters(top, left, crop_height, crop_width, flip, jitter, factors.astype(np.float32), order, grey)


def _draw_crops(u: "_Uniform", height: int, width: int) -> tuple[np.ndarray, ...]:
    """Draw crops as torchvision's RandomResizedCrop.get_params: ten tries, then the largest allowed centre crop."""
    low, high = np.log(RATIO)
    # the fallback: the whole image, cut in the middle where its ratio is not allowed
    crop_width = np.full(len(u), min(width, round(height * RATIO[1])))
    crop_height = np.full(len(u), min(height, round(width / RATIO[0])))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    pending = np.ones(len(u), bool)
    for _ in range(CROP_TRIES):
        area = height * width * (SCALE[0] + (SCALE[1] - SCALE[0]) * u())
        ratio = np.exp(low + (high - low) * u())
        w = np.rint(np.sqrt(area * ratio)).astype(np.int64)
        h = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = pending & (w > 0) & (w <= width) & (h > 0) & (h <= height)
        crop_width[fits], crop_height[fits] = w[fits], h[fits]
        pending &= ~fits
    vertical, horizontal = u(), u()
    top = np.where(pending, top, (vertical * (height - crop_height + 1)).astype(np.int64))
    left = np.where(pending, left, (horizontal * (width - crop_width + 1)).astype(np.int64))
    return top, left, crop_height, crop_width


class _Uniform:
    """A stream of uniform numbers in [0, 1) for each of N keys: splitmix64 (Steele et al. 2014), one call a number."""

    GOLDEN = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, seed: int, epoch: int, image: np.ndarray, view: np.ndarray) -> None:
        state: np.ndarray = np.full(len(image), seed, np.uint64)
        for part in (epoch, image, view):
            state = self._mix(state + self.GOLDEN) ^ np.asarray(part, np.uint64)
        self._state = self._mix(state + self.GOLDEN)

    def __len__(self) -> int:
        return len(self._state)

    def __call__(self) -> np.ndarray:
        self._state = self._state + self.GOLDEN
        return (self._mix(self._state) >> np.uint64(11)) * 2.0**-53

    @staticmethod
    def _mix(z: np.ndarray) -> np.ndarray:
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def apply(images: Tensor, parameters: ViewParameters, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """Make the views that `parameters` describe.

    Same result as torchvision.transforms.v2 on float images, one view at a time: `resized_crop` (antialiased
    bilinear), `horizontal_flip`, `adjust_*`, `rgb_to_grayscale`, `normalize`.

    Args:
        images: uint8 (M, 3, H, W).
        parameters: of N = K * M views.
        size: S, side of the views, px.
        mean: float (3,) in 0..1.
        std: float (3,).

    Returns:
        float32 (N, 3, S, S), normalised, on the device of `images`.
    """
    device = images.device
    views = _resized_crops(images, parameters, size)
    for position in range(4):
        for operation, adjust in enumerate(ADJUST):
            rows = np.flatnonzero(parameters.jitter & (parameters.order[:, position] == operation))
            index = torch.from_numpy(rows).to(device)
            factor = torch.from_numpy(parameters.factors[rows, operation]).to(device).view(-1, 1, 1, 1)
            views[index] = adjust(views[index], factor)
    grey = torch.from_numpy(np.flatnonzero(parameters.grey)).to(device)
    views[grey] = _grey(views[grey])
    return views.sub_(mean.view(3, 1, 1)).div_(std.view(3, 1, 1))


def _resized_crops(images: Tensor, parameters: ViewParameters, size: int) -> Tensor:
    """Cut, scale and flip as two matrix products: rows @ image @ columns."""
    count, _, height, width = images.shape
    device = images.device
    top, left, crop_height, crop_width, flip = (
        torch.from_numpy(array).to(device)
        for array in (parameters.top, parameters.left, parameters.height, parameters.width, parameters.flip)
    )
    rows = _bilinear_weights(top, crop_height, height, size)  # (N, S, H)
    columns = _bilinear_weights(left, crop_width, width, size)  # (N, S, W)
    columns = torch.where(flip.view(-1, 1, 1), columns.flip(1), columns)
    pixels = images.float().div_(255)  # (M, 3, H, W)
    rows = rows.view(-1, count, 1, size, height)  # (K, M, 1, S, H)
    columns = columns.view(-1, count, 1, size, width).transpose(3, 4)  # (K, M, 1, W, S)
    return (rows @ (pixels @ columns)).flatten(0, 1)  # (K * M, 3, S, S)


def _bilinear_weights(start: Tensor, length: Tensor, source: int, size: int) -> Tensor:
    """Return (N, size, source): how much each source pixel of a crop adds to each output pixel.

    The triangle filter of Pillow's and torch's antialiased bilinear scaling: its support grows with the reduction,
    and it never reaches outside the crop.
    """
    scale = (length / size).view(-1, 1, 1)
    support = scale.clamp(min=1.0)
    centre = (torch.arange(size, device=start.device).view(1, -1, 1) + 0.5) * scale
    pixel = torch.arange(source, device=start.device).view(1, 1, -1) - start.view(-1, 1, 1)
    weights = (1 - (pixel + 0.5 - centre).abs() / support).clamp(min=0.0)
    weights = weights * ((pixel >= 0) & (pixel < length.view(-1, 1, 1)))
    return weights / weights.sum(2, keepdim=True)


def _grey(views: Tensor) -> Tensor:
    """Return luma (ITU-R 601) of float (n, 3, S, S) as (n, 1, S, S)."""
    red, green, blue = views.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def _blend(views: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * views + (1 - factor) * other).clamp_(0.0, 1.0)


def _brightness(views: Tensor, factor: Tensor) -> Tensor:
    return (views * factor).clamp_(0.0, 1.0)


def _contrast(views: Tensor, factor: Tensor) -> Tensor:
    return _blend(views, _grey(views).mean((2, 3), keepdim=True), factor)


def _saturation(views: Tensor, factor: Tensor) -> Tensor:
    return _blend(views, _grey(views), factor)


def _hue(views: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by `shift` of a full circle, through HSV."""
    red, green, blue = views.unbind(1)  # (n, S, S)
    value = views.amax(1)
    chroma = value - views.amin(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixths = sixths + 6 * shift[:, 0]
    channels = []
    for offset in (5, 3, 1):
        k = (offset + sixths).remainder(6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0.0, 1.0))
    return torch.stack(channels, 1)


ADJUST = (_brightness, _contrast, _saturation, _hue)
