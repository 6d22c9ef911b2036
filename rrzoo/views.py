"""K random views of each image: what relational reasoning learns from.

The augmentations are the paper's (arXiv 2006.05849, appendix A; torchvision's names): RandomResizedCrop with scale
0.08 to 1 and ratio 3/4 to 4/3, flip with p = 0.5, ColorJitter(0.8, 0.8, 0.8, 0.2) in random order with p = 0.8,
grayscale with p = 0.2, normalisation.

Drawing and applying are apart. `draw` derives every random number from (seed, epoch, image, view) by a counter-based
generator, so a view is the same whatever the batch, the device or the number of workers. `apply` is plain arithmetic
on whole batches and runs wherever its tensors live. `make` gives the same views, on the CPU many times faster.
"""

import functools
import importlib.util
import itertools
from dataclasses import dataclass, fields
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from rrzoo import errors

SCALE = (0.08, 1.0)  # area of the crop as a share of the image
RATIO = (3 / 4, 4 / 3)  # width / height of the crop
CROP_TRIES = 10
AFTER_CROPS = 2 * CROP_TRIES + 2  # random numbers that crops use: two a try, two for the position
UNUSED = AFTER_CROPS + 8  # the first random number that `draw` has no use for
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

    def __getitem__(self, rows: slice) -> "ViewParameters":
        """Return the parameters of some views; of all M images, for the rule above to hold."""
        return ViewParameters(*(getattr(self, field.name)[rows] for field in fields(self)))


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
    uniform = _Uniform(seed, epoch, images, views)
    top, left, crop_height, crop_width = _draw_crops(uniform, height, width)
    flip, jitter, *strengths, order, grey = uniform(np.arange(AFTER_CROPS, UNUSED))
    centre = np.array([1.0, 1.0, 1.0, 0.0])
    factors = centre + np.array(STRENGTH) * (2 * np.stack(strengths, axis=1) - 1)
    return ViewParameters(
        top,
        left,
        crop_height,
        crop_width,
        flip < FLIP_PROBABILITY,
        jitter < JITTER_PROBABILITY,
        factors.astype(np.float32),
        ORDERS[(order * len(ORDERS)).astype(np.int64)],
        grey < GREY_PROBABILITY,
    )


def uniform(seed: int, epoch: int, images: np.ndarray, views: int, count: int) -> np.ndarray:
    """Return `count` random numbers in [0, 1) of each view, float64 (count, K * M), independent of those of `draw`.

    For pretext tasks that draw more than views; arguments as for `draw`.
    """
    return _Uniform(seed, epoch, images, views)(np.arange(UNUSED, UNUSED + count))


def crops(
    top: np.ndarray, left: np.ndarray, height: np.ndarray, width: np.ndarray, flip: np.ndarray, grey: np.ndarray
) -> ViewParameters:
    """Return the parameters of N views that are cut and scaled, perhaps flipped or grey, and else keep their colours.

    Args:
        top: int64 (N,), px.
        left: int64 (N,), px.
        height: int64 (N,), px.
        width: int64 (N,), px.
        flip: bool (N,).
        grey: bool (N,).
    """
    neutral = np.tile(np.array([1, 1, 1, 0], np.float32), (len(top), 1))
    order = np.tile(ORDERS[:1], (len(top), 1))
    return ViewParameters(top, left, height, width, flip, np.zeros(len(top), bool), neutral, order, grey)


def _draw_crops(uniform: "_Uniform", height: int, width: int) -> tuple[np.ndarray, ...]:
    """Draw crops as torchvision's RandomResizedCrop.get_params: ten tries, then the largest allowed centre crop."""
    low, high = np.log(RATIO)
    # the fallback: the whole image, cut in the middle where its ratio is not allowed
    crop_width = np.full(len(uniform), min(width, round(height * RATIO[1])))
    crop_height = np.full(len(uniform), min(height, round(width / RATIO[0])))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    pending = np.arange(len(uniform))
    for number in range(CROP_TRIES):
        share, ratio = uniform(np.array([2 * number, 2 * number + 1]), pending)
        area = height * width * (SCALE[0] + (SCALE[1] - SCALE[0]) * share)
        ratio = np.exp(low + (high - low) * ratio)
        w = np.rint(np.sqrt(area * ratio)).astype(np.int64)
        h = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        crop_width[pending[fits]], crop_height[pending[fits]] = w[fits], h[fits]
        pending = pending[~fits]
        if not len(pending):
            break
    vertical, horizontal = uniform(np.arange(AFTER_CROPS - 2, AFTER_CROPS))
    drawn_top = (vertical * (height - crop_height + 1)).astype(np.int64)
    drawn_left = (horizontal * (width - crop_width + 1)).astype(np.int64)
    drawn_top[pending], drawn_left[pending] = top[pending], left[pending]
    return drawn_top, drawn_left, crop_height, crop_width


class _Uniform:
    """Numbered streams of uniform numbers in [0, 1), one for each of N = K * M views: splitmix64 (Steele et al. 2014).

    The stream of a view depends on (seed, epoch, image, view) alone.
    """

    GOLDEN = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, seed: int, epoch: int, images: np.ndarray, views: int) -> None:
        state: np.ndarray = np.array([seed], np.uint64)
        for part in (np.array([epoch]), images, np.arange(views)[:, np.newaxis]):
            state = self._mix(state + self.GOLDEN) ^ part.astype(np.uint64)
        self._state = self._mix(state.ravel() + self.GOLDEN)

    def __len__(self) -> int:
        return len(self._state)

    def __call__(self, numbers: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return float64 (len(numbers), number of rows): the numbers of these places in the streams of these rows."""
        steps = (numbers.astype(np.uint64) + np.uint64(1)) * self.GOLDEN
        return (self._mix(self._state[rows] + steps[:, np.newaxis]) >> np.uint64(11)) * 2.0**-53

    @staticmethod
    def _mix(z: np.ndarray) -> np.ndarray:
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = z ^ (z >> np.uint64(31))
        return mixed


def make(
    images: Tensor, parameters: ViewParameters, size: int, mean: Tensor, std: Tensor, out: Tensor | None = None
) -> Tensor:
    """Make the views that `parameters` describe, in the fastest way there is: on CPU, with numba, by its kernel.

    Args:
        images: uint8 (M, 3, H, W).
        parameters: of N = K * M views.
        size: S, side of the views, px.
        mean: float (3,) in 0..1.
        std: float (3,).
        out: float32 (N, 3, S, S), contiguous; written and returned. Clearing new memory in every step takes the system
            up to half of the time of large views. Or blocked, (N / B, S + 2, S + 2, 3, B), where 8 divides S and B:
            views last, with a border that is left alone, as `kernels.conv4` takes them.

    Returns:
        float32 (N, 3, S, S), or the blocked `out`: what `apply` returns to 1e-5.

    Raises:
        errors.ArgumentError: images, parameters, size or `out` don't fit each other.
    """
    _check(images, parameters, size, out)
    kernel = _kernel() if images.device.type == "cpu" else None
    if kernel is None:
        views = apply(images, parameters, size, mean, std)
        if out is None:
            return views
        if out.ndim == 5:
            out[:, 1:-1, 1:-1] = torch.unflatten(views, 0, (-1, out.shape[4])).permute(0, 3, 4, 2, 1)
            return out
        return out.copy_(views)
    if out is None:
        # numpy asks for pages of 2 MB where it can: they are cleared faster than those that torch gets
        out = torch.from_numpy(np.empty((len(parameters), 3, size, size), np.float32))
    pixels = images.permute(0, 2, 3, 1).contiguous()  # as data sets store them: no copy
    kernel.make(pixels.numpy(), parameters, mean.float().numpy(), std.float().numpy(), out.numpy())
    return out


@functools.cache
def _kernel() -> ModuleType | None:
    if importlib.util.find_spec("numba") is None:
        return None
    from rrzoo.kernels import views

    return views


def _check(images: Tensor, parameters: ViewParameters, size: int, out: Tensor | None) -> None:
    """Refuse what would make the kernel read or write beyond its arrays."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        raise errors.ArgumentError(
            f"images are {images.dtype} {tuple(images.shape)}: torch.uint8 (M, 3, H, W) is needed, not empty"
        )
    count, _, height, width = images.shape
    if len(parameters) % count:
        raise errors.ArgumentError(f"there are parameters of {len(parameters)} views: a multiple of {count} is needed")
    for start, length, most in (
        (parameters.top, parameters.height, height),
        (parameters.left, parameters.width, width),
    ):
        if np.any((start < 0) | (length < 1) | (start + length > most)):
            raise errors.ArgumentError(f"crops reach beyond images of {height} x {width}: draw them for this size")
    if size < 1:
        raise errors.ArgumentError(f"size is {size}: at least 1 is needed")
    if out is None:
        return
    shapes: list[tuple[int, ...]] = [(len(parameters), 3, size, size)]
    if out.ndim == 5 and out.shape[4] and not (size % 8 or out.shape[4] % 8 or len(parameters) % out.shape[4]):
        shapes.append((len(parameters) // out.shape[4], size + 2, size + 2, 3, out.shape[4]))
    if out.dtype != torch.float32 or out.shape not in shapes or not out.is_contiguous():
        raise errors.ArgumentError(
            f"out is {out.dtype} {tuple(out.shape)}: contiguous torch.float32 {shapes[-1]} is needed"
        )


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
    start, length = start.int().view(-1, 1, 1), length.int().view(-1, 1, 1)
    output = torch.arange(size, dtype=torch.int32, device=start.device).view(1, -1, 1)
    pixel = torch.arange(source, dtype=torch.int32, device=start.device) - start
    # centres are multiples of 1 / (2 * size): counted in these, all but the last division is exact
    distance = ((2 * pixel + 1) * size - (2 * output + 1) * length).abs_()
    weights = (2 * length.clamp(min=size) - distance).clamp_(min=0).float()
    weights *= (pixel >= 0) & (pixel < length)
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
