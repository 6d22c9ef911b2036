"""Conv4's first layer, compiled; forward.py says how activations are stored, and has the layers behind.

The first convolution has the largest output and the least to compute. It is never stored, but made two rows at a time:
for BatchNorm's statistics, and again for the second layer. The backward pass needs it no more, for it asks only where
the ReLU let a value through (one bit each), and for sums over all pixels of products with the inputs x. The gradient
of the convolution's output z being a d + b z + c (d: behind the ReLU; a, b, c: BatchNorm's), that of the weights is

    a sum d x + b sum z x + c sum x,

whose last two sums do not depend on the gradient: the forward pass makes them. And sum d z follows from sum d x.
"""

from typing import Any

import numba
import numpy as np
from numba import njit, prange

from rrzoo.kernels.conv4.llvm import BYTES, LANES
from rrzoo.kernels.conv4.products import PIXELS, TILE, convolve, correlate
from rrzoo.kernels.conv4.simd import Lanes, bits, fill, fma, gate, keep_bits, load, plus, store

OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "boundscheck": False}
Array = np.ndarray[Any, Any]
Address = int
First = tuple[Array, Array, Array]  # blocked views, packed weights (channels_out / TILE, channels_in, 9, TILE), starts


@njit(**OPTIONS)
def nth_block(i: int, count: int, downwards: bool) -> int:
    """Return the i-th of `count` blocks, upwards or downwards."""
    signed: Any = np.int64(i)  # prange counts with unsigned numbers, which nth_block into floats beside signed ones
    return count - 1 - signed if downwards else signed


@njit(**OPTIONS)
def add(value: Lanes, place: Address) -> None:
    """Add one vector to another in memory."""
    store(plus(load(place), value), place)


@njit(**OPTIONS)
def flush(part: Array, totals: Array) -> None:
    """Move sums of some rows into those of the block: long sums in float32 lose digits, sums of sums do not."""
    for i in range(totals.size // LANES):
        place = part.ctypes.data + i * BYTES
        add(load(place), totals.ctypes.data + i * BYTES)
        store(fill(np.float32(0)), place)


@njit(**OPTIONS)
def reduce(totals: Array, sums: Array) -> None:
    """Sum float32 (n, channels, 16) over lanes into float64 (n, channels)."""
    for i in range(totals.shape[0]):
        for channel in range(totals.shape[1]):
            total = 0.0
            for lane in range(LANES):
                total += totals[i, channel, lane]
            sums[i, channel] = total


@njit(**OPTIONS)
def means_of(totals: Array, pixels: int) -> Array:
    """Return the means (channels,) that the sums (2, channels, 16) over `pixels` give."""
    means = np.empty(totals.shape[1], np.float32)
    for channel in range(len(means)):
        means[channel] = totals[0, channel].sum() / np.float32(pixels * LANES)
    return means


@njit(**OPTIONS)
def first_rows(first: First, block: int, y: int, out: Array) -> Address:
    """Convolve rows y and y + 1 of one block into out (2, S, channels_out, 16); return its address."""
    views, weights, starts = first
    width, channels, pixel, channels_in = out.shape[1], out.shape[2], views.shape[3] * BYTES, views.shape[3]
    for j in range(2):
        source = views.ctypes.data + (block * (width + 2) + y + j) * (width + 2) * pixel
        target = out.ctypes.data + j * width * channels * BYTES
        for tile in range(channels // TILE):
            for x in range(0, width, PIXELS):
                convolve(
                    source + x * pixel,
                    (width + 2) * pixel,
                    pixel,
                    channels_in,
                    weights.ctypes.data + tile * channels_in * 9 * TILE * 4,
                    starts.ctypes.data + tile * TILE * 4,
                    target + (x * channels + tile * TILE) * BYTES,
                    channels * BYTES,
                )
    return out.ctypes.data


@njit(**OPTIONS)
def _correlate_rows(
    gradient: Address, gradient_pixel: int, views: Array, block: int, y: int, rows: int, sums: Array
) -> None:
    """Add to sums (channels_out / TILE, channels_in, 3, 3 * TILE) the products of some rows of a block with inputs."""
    width, channels_in = views.shape[2] - 2, views.shape[3]
    source_pixel = channels_in * BYTES
    source_row = (width + 2) * source_pixel
    source = views.ctypes.data + (block * (width + 2) + y) * source_row
    parts = (width + 15) // 16  # such that a tile's gradients stay in the first cache while all channels pass by
    columns = (width + parts - 1) // parts
    for tile in range(sums.shape[0]):
        for left in range(0, width, columns):
            for channel in range(channels_in):
                for tap in range(3):
                    correlate(
                        gradient + left * gradient_pixel + tile * TILE * BYTES,
                        width * gradient_pixel,
                        gradient_pixel,
                        source + tap * source_row + left * source_pixel + channel * BYTES,
                        source_row,
                        source_pixel,
                        rows,
                        min(columns, width - left),
                        sums.ctypes.data + ((tile * channels_in + channel) * 3 + tap) * 3 * TILE * 4,
                    )


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
def find_first_centers(first: First, channels: int) -> Array:
    """Return a guess (channels,) at the means of the first convolution: those of two rows amid the first block."""
    width = first[0].shape[2] - 2
    rows, totals = np.empty((2, width, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
    _add_statistics(first_rows(first, 0, width // 4 * 2, rows), 2 * width, channels, totals.ctypes.data)
    return means_of(totals, 2 * width)


@njit(**OPTIONS)
def _add_inputs(views: Array, block: int, totals: Array) -> None:
    """Sum the inputs that each of 3 x 3 weights sees, (9, channels, 16): they lie off by one row or column."""
    size, channels = views.shape[1] - 2, views.shape[3]
    pixel, start = channels * BYTES, views[block].ctypes.data
    for y in range(1, size + 1):
        for channel in range(channels):
            row = start + y * (size + 2) * pixel + channel * BYTES
            total = fill(np.float32(0))
            for x in range(2, size):
                total = plus(total, load(row + x * pixel))
            left, right = load(row + pixel), load(row + size * pixel)
            for tap in range(9):
                if (y - 1 < size - 1 and tap // 3 == 0) or tap // 3 == 1 or (y > 1 and tap // 3 == 2):
                    place = totals.ctypes.data + (tap * channels + channel) * BYTES
                    add(total, place)
                    if tap % 3 < 2:
                        add(left, place)
                    if tap % 3 > 0:
                        add(right, place)


@njit(parallel=True, **OPTIONS)
def forward_first(first: First, rows: Array, sums: Array, products: Array, inputs: Array) -> None:
    """Sum what BatchNorm and the backward pass need of the first convolution z.

    Args:
        first: blocked views, packed weights and minus the centers.
        rows: scratch, (threads, 2, S, channels_out, 16).
        sums: written, float64 (blocks, 2, channels_out): of z and of its squares.
        products: written, (blocks, channels_out / TILE, channels_in, 3, 3 * TILE): of z and inputs.
        inputs: written, float64 (blocks, 9, channels_in): of inputs.
    """
    views = first[0]
    width, channels = rows.shape[2:4]
    for block in prange(len(sums)):
        out = rows[numba.get_thread_id()]
        part, totals = np.zeros((2, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
        seen = np.zeros((9, views.shape[3], LANES), np.float32)
        products[block] = np.float32(0)
        for y in range(0, width, 2):
            at = first_rows(first, block, y, out)
            _add_statistics(at, 2 * width, channels, part.ctypes.data)
            flush(part, totals)
            _correlate_rows(at, channels * BYTES, views, block, y, 2, products[block])
        _add_inputs(views, block, seen)
        reduce(totals, sums[block])
        reduce(seen, inputs[block])


@njit(**OPTIONS)
def pool_first(rows: Address, norm: Array, source: Array, y: int, passed: Array) -> None:
    """Make row y of one block's input of the second layer as `pool` does; write what the ReLU let through.

    passed: (S / 2, S / 2, channels) int64, of 4 pixels times 16 lanes.
    """
    width, channels = source.shape[1] - 2, source.shape[2]
    pixel = channels * BYTES
    target = source.ctypes.data + ((y + 1) * (width + 2) + 1) * pixel
    quarter = np.float32(0.25)
    for x in range(width):
        for channel in range(channels):
            scale, shift = fill(norm[0, channel] * quarter), fill(norm[1, channel] * quarter)
            total, mask = fill(np.float32(0)), 0
            for corner in range(4):
                place = rows + (corner // 2 * 2 * width + 2 * x + corner % 2) * pixel + channel * BYTES
                z = fma(load(place), scale, shift)
                total = plus(total, gate(z, z))
                mask |= bits(z) << (corner * LANES)
            store(total, target + x * pixel + channel * BYTES)
            passed[y, x, channel] = mask


@njit(parallel=True, **OPTIONS)
def backward_first(views: Array, pooled: Array, passed: Array, rows: Array, products: Array, sums: Array) -> None:
    """Sum the gradients d behind the first ReLU, less the factor 1 / 4 of a mean, and their products with inputs.

    Args:
        views: blocked.
        pooled: the gradient of the second layer's inputs, (blocks, S / 2 + 2, S / 2 + 2, channels, 16); its border
            is not read.
        passed: see `pool_first`, (blocks, S / 2, S / 2, channels).
        rows: scratch, (threads, 2, S, channels, 16).
        products: written, (blocks, channels / TILE, channels_in, 3, 3 * TILE).
        sums: written, float64 (blocks, 1, channels).
    """
    width, channels = rows.shape[2:4]
    pixel = channels * BYTES
    for i in prange(len(views)):
        block = nth_block(i, len(views), True)
        out = rows[numba.get_thread_id()].ctypes.data
        shape = (sums.shape[1], channels, LANES)
        part, totals = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        products[block] = np.float32(0)
        for y in range(0, width, 2):
            grads = pooled.ctypes.data + ((block * pooled.shape[1] + y // 2 + 1) * pooled.shape[2] + 1) * pixel
            for x in range(width // 2):
                for channel in range(channels):
                    grad, mask = load(grads + x * pixel + channel * BYTES), passed[block, y // 2, x, channel]
                    total = fill(np.float32(0))
                    for corner in range(4):
                        d = keep_bits(grad, mask >> (corner * LANES))
                        total = plus(total, d)
                        store(d, out + (corner // 2 * width + 2 * x + corner % 2) * pixel + channel * BYTES)
                    add(total, part.ctypes.data + channel * BYTES)
            flush(part, totals)
            _correlate_rows(out, pixel, views, block, y, 2, products[block])
        reduce(totals, sums[block])
