"""What conv4.py runs compiled, forward; conv4_backward.py has the other half.

Every activation is float32 and stored as [block][row][pixel][channel][lane]: a lane is one of the 16 views of a block.
One channel of one pixel is thus one vector, so that images of any size vectorise alike and no loop has a remainder.
Inputs of convolutions have a border of zeros, one pixel wide.

The first convolution has the largest output and the least to compute: it is not stored, but made anew, two rows at a
time, wherever it is needed (`two_rows`).

A convolution's output is kept less `centers`, one guess at its mean per channel: then no large mean costs a variance
its digits. BatchNorm's share of it is linear, `norm`: (scale, shift) in the forward pass.

Reductions are grouped by block, never by thread: results do not depend on the number of threads. Layers take turns at
going through the blocks upwards and downwards, since the blocks written last are still in the cache.
"""

from typing import Any

import numba
import numpy as np
from numba import njit, prange

from rrzoo.kernels.simd import (
    BYTES,
    LANES,
    PIXELS,
    TILE,
    Lanes,
    convolve,
    fill,
    fma,
    gate,
    load,
    plus,
    store,
)

OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "boundscheck": False}
Array = np.ndarray[Any, Any]
Address = int
First = tuple[Array, Array, Array]  # of layer 0: blocked views, packed weights, starts; see `forward_layer`


@njit(**OPTIONS)
def turn(i: int, count: int, downwards: bool) -> int:
    """Return the i-th of `count` blocks, upwards or downwards."""
    signed: Any = np.int64(i)  # prange counts with unsigned numbers, which turn into floats beside signed ones
    return count - 1 - signed if downwards else signed


@njit(**OPTIONS)
def convolve_row(
    source: Address,
    width: int,
    channels: int,
    pixel: int,
    weights: Address,
    starts: Address,
    target: Address,
    channels_out: int,
) -> None:
    """Convolve one row: source is the first of 3 rows [width + 2] of `pixel` bytes, target [width][channels_out]."""
    for tile in range(channels_out // TILE):
        for x in range(0, width, PIXELS):
            convolve(
                source + x * pixel,
                (width + 2) * pixel,
                pixel,
                channels,
                weights + tile * channels * 9 * TILE * 4,
                starts + tile * TILE * 4,
                target + (x * channels_out + tile * TILE) * BYTES,
                channels_out * BYTES,
            )


@njit(**OPTIONS)
def two_rows(layer: int, outputs: Array, first: First, thread: int, block: int, y: int) -> Address:
    """Return where rows y and y + 1 of a convolution's output are; those of layer 0 are made for it."""
    height, width, channels = outputs.shape[1:4]
    row = width * channels * BYTES
    if layer > 0:
        return outputs.ctypes.data + (block * height + y) * row
    views, weights, starts = first
    out, pixel = outputs.ctypes.data + thread * 2 * row, views.shape[3] * BYTES
    for j in range(2):
        source = views.ctypes.data + (block * (width + 2) + y + j) * (width + 2) * pixel
        weights_at, starts_at = weights.ctypes.data, starts.ctypes.data
        convolve_row(source, width, views.shape[3], pixel, weights_at, starts_at, out + j * row, channels)
    return out


@njit(**OPTIONS)
def _pool_into(rows: Address, norm: Array, source: Array, y: int) -> None:
    """Make row y of one block's input: BatchNorm, ReLU and 2 x 2 mean of two rows of the convolution before."""
    width, channels = source.shape[1] - 2, source.shape[2]
    pixel = channels * BYTES
    target = source.ctypes.data + ((y + 1) * (width + 2) + 1) * pixel
    quarter = np.float32(0.25)
    for x in range(width):
        for channel in range(channels):
            scale, shift = fill(norm[0, channel] * quarter), fill(norm[1, channel] * quarter)
            total = fill(np.float32(0))
            for corner in range(4):
                place = rows + (corner // 2 * 2 * width + 2 * x + corner % 2) * pixel + channel * BYTES
                z = fma(load(place), scale, shift)
                total = plus(total, gate(z, z))
            store(total, target + x * pixel + channel * BYTES)


@njit(**OPTIONS)
def _convolve_into(source: Array, weights: Array, starts: Array, y: int, out: Address) -> None:
    """Convolve row y of one block."""
    width, channels = source.shape[1] - 2, source.shape[2]
    start = source.ctypes.data + y * (width + 2) * channels * BYTES
    weights_at, starts_at = weights.ctypes.data, starts.ctypes.data
    convolve_row(start, width, channels, channels * BYTES, weights_at, starts_at, out, len(starts))


@njit(**OPTIONS)
def add(value: Lanes, place: Address) -> None:
    """Add one vector to another in memory."""
    store(plus(load(place), value), place)


@njit(**OPTIONS)
def _add_statistics(row: Address, width: int, channels: int, totals: Address) -> None:
    """Add a row's sums and sums of squares to totals[2][channels]."""
    for channel in range(channels):
        first, second = fill(np.float32(0)), fill(np.float32(0))
        for x in range(width):
            value = load(row + (x * channels + channel) * BYTES)
            first, second = plus(first, value), fma(value, value, second)
        add(first, totals + channel * BYTES)
        add(second, totals + (channels + channel) * BYTES)


@njit(**OPTIONS)
def reduce(totals: Array, sums: Array) -> None:
    """Sum float32 [2][channels][16] over lanes into float64 [2][channels]."""
    for i in range(2):
        for channel in range(totals.shape[1]):
            total = 0.0
            for lane in range(LANES):
                total += totals[i, channel, lane]
            sums[i, channel] = total


@njit(**OPTIONS)
def find_centers(
    layer: int, before: Array, norm: Array, first: First, source: Array, weights: Array, channels: int
) -> Array:
    """Return a guess (channels,) at the means of a convolution: those of the middle row of the first block."""
    width = source.shape[2] - 2
    middle = width // 2
    if layer > 0:
        for y in range(middle - 1, min(middle + 2, width)):
            _pool_into(two_rows(layer - 1, before, first, 0, 0, 2 * y), norm, source[0], y)
    row = np.empty((width, channels, LANES), np.float32)
    _convolve_into(source[0], weights, np.zeros(channels, np.float32), middle, row.ctypes.data)
    means = np.empty(channels, np.float32)
    for channel in range(channels):
        means[channel] = row[:, channel].mean()
    return means


@njit(parallel=True, **OPTIONS)
def forward_layer(
    layer: int,
    before: Array,
    norm: Array,
    first: First,
    source: Array,
    weights: Array,
    starts: Array,
    target: Array,
    sums: Array,
) -> None:
    """Run one layer up to its convolution, with the BatchNorm, ReLU and pooling of the layer before.

    Args:
        layer: 0 to 3; in layer 0, `source` is the input.
        before: convolution of the layer before, (blocks, 2 S, 2 S, channels_in, 16); not read in layer 0. That of
            layer 0 is `two_rows`'s, (threads, 2, S, channels, 16).
        norm: its scale and shift, (2, channels_in).
        first: `source`, `weights` and `starts` of layer 0.
        source: written, except in layer 0: (blocks, S + 2, S + 2, channels_in, 16), border 0.
        weights: packed, (channels_out / TILE, channels_in, 9, TILE).
        starts: minus the centers, (channels_out,).
        target: written: the convolution plus `starts`, (blocks, S, S, channels_out, 16), or as `before`.
        sums: written, float64 (blocks, 2, channels_out): of the convolution plus `starts` and of its squares.
    """
    blocks, height, width, channels = len(source), source.shape[1] - 2, source.shape[2] - 2, len(starts)
    for i in prange(blocks):
        block, thread = turn(i, blocks, layer % 2 == 1), numba.get_thread_id()
        totals = np.zeros((2, channels, LANES), np.float32)
        if layer > 0:
            _pool_into(two_rows(layer - 1, before, first, thread, block, 0), norm, source[block], 0)
        for y in range(height):
            if layer > 0 and y + 1 < height:
                _pool_into(two_rows(layer - 1, before, first, thread, block, 2 * y + 2), norm, source[block], y + 1)
            row = thread * 2 if layer == 0 else block * height + y
            out = target.ctypes.data + row * width * channels * BYTES
            _convolve_into(source[block], weights, starts, y, out)
            _add_statistics(out, width, channels, totals.ctypes.data)
        reduce(totals, sums[block])


@njit(parallel=True, **OPTIONS)
def features(last: Array, norm: Array, out: Array) -> None:
    """BatchNorm, ReLU and global mean: (blocks, S, S, 64, 16) -> (N, 64)."""
    for block in prange(last.shape[0]):
        pixels, channels = last.shape[1] * last.shape[2], last.shape[3]
        totals = np.empty((channels, LANES), np.float32)
        start = last.ctypes.data + block * pixels * channels * BYTES
        for channel in range(channels):
            scale, shift, total = fill(norm[0, channel]), fill(norm[1, channel]), fill(np.float32(0))
            for i in range(pixels):
                z = fma(load(start + (i * channels + channel) * BYTES), scale, shift)
                total = plus(total, gate(z, z))
            store(total, totals.ctypes.data + channel * BYTES)
        share = np.float32(1 / pixels)
        for lane in range(LANES):
            for channel in range(channels):
                out[block * LANES + lane, channel] = totals[channel, lane] * share


@njit(parallel=True, **OPTIONS)
def block_views(views: Array, out: Array) -> None:
    """Write views (N, 3, S, S) into the inside of out, (N / 16, S + 2, S + 2, 3, 16)."""
    for block in prange(out.shape[0]):
        size = views.shape[2]
        for y in range(size):
            for x in range(size):
                for channel in range(3):
                    for lane in range(LANES):
                        out[block, y + 1, x + 1, channel, lane] = views[block * LANES + lane, channel, y, x]
