"""Views made of images and drawn parameters: see `rrzoo.views`."""

import functools
import importlib.util
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from rrzoo import errors
from rrzoo.views.drawing import ViewParameters


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
    views = _resized_crops(images, parameters, size)
    jitter, factors, order, grey = _sent(images.device, "jitter", "factors", "order", "grey", of=parameters)
    return _finish(views, jitter, factors, order, grey, mean, std)


def _sent(device: torch.device, *names: str, of: ViewParameters) -> list[Tensor]:
    """Return parameters as tensors on a device, which goes on with its work meanwhile."""
    return [torch.from_numpy(getattr(of, name)).to(device, non_blocking=True) for name in names]


def _finish(
    views: Tensor, jitter: Tensor, factors: Tensor, order: Tensor, grey: Tensor, mean: Tensor, std: Tensor
) -> Tensor:
    """Change the colours of cut and scaled views, and normalise them; in one pass where a compiler fuses it."""
    finish = _fused() if views.device.type == "cuda" else colour
    return finish(views, jitter, factors, order, grey, mean, std)


def colour(
    views: Tensor, jitter: Tensor, factors: Tensor, order: Tensor, grey: Tensor, mean: Tensor, std: Tensor
) -> Tensor:
    """Change the colours of views, float (N, 3, S, S) in 0..1, and normalise them.

    Every operation is computed for every view, and kept where it is asked for: that has one shape whatever was drawn,
    so that a compiler fuses it, and nothing waits for the device. Other arguments as in `ViewParameters`.
    """
    for position in range(4):
        changed = views
        for operation, adjust in enumerate(ADJUST):
            asked = (jitter & (order[:, position] == operation)).view(-1, 1, 1, 1)
            changed = torch.where(asked, adjust(views, factors[:, operation].view(-1, 1, 1, 1)), changed)
        views = changed
    views = torch.where(grey.view(-1, 1, 1, 1), _grey(views), views)
    return (views - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@functools.cache
def _fused() -> Callable[..., Tensor]:
    """Return `colour` through torch.compile; as it is, with one warning, where that fails: without Triton, say."""
    compiled, works = torch.compile(colour, dynamic=False), True

    def fused(*arguments: Tensor) -> Tensor:
        nonlocal works
        if works:
            try:
                return compiled(*arguments)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # compilers have many ways to fail, and views need none
                works = False
                reason = errors.first_line(error)
                warnings.warn(f"views take longer, since torch.compile fails: {reason}", stacklevel=2)
        return colour(*arguments)

    return fused


def _resized_crops(images: Tensor, parameters: ViewParameters, size: int) -> Tensor:
    """Cut, scale and flip as two matrix products: rows @ image @ columns."""
    count, _, height, width = images.shape
    top, left, crop_height, crop_width, flip = _sent(
        images.device, "top", "left", "height", "width", "flip", of=parameters
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
