"""What function.py runs compiled, forward; backward.py has the other half.

Every activation is float32 and stored as [block][row][pixel][channel][lane]: a lane is one of the 16 views of a block.
One channel of one pixel is thus one vector, so that images of any size vectorise alike and no loop has a remainder.
Inputs of convolutions have a border of zeros, one pixel wide.

The first layer is special, see first_layer.py. The others go by tiles of 2 x 2 pixels, see winograd.py.

A convolution's output is kept less `centers`, one guess at its mean per channel: then no large mean costs a variance
its digits. BatchNorm's share of it is linear, `norm`: (scale, shift) in the forward pass.

Reductions are grouped by block, never by thread: results do not depend on the number of threads. Layers take turns at
going through the blocks upwards and downwards, since the blocks written last are still in the cache.
"""

import numba
import numpy as np
from numba import njit, prange

from rrzoo.kernels.conv4.first_layer import (
    OPTIONS,
    Address,
    Array,
    First,
    first_rows,
    flush,
    means_of,
    nth_block,
    pool_first,
    reduce,
)
from rrzoo.kernels.conv4.llvm import BYTES, LANES
from rrzoo.kernels.conv4.products import TILE, multiply
from rrzoo.kernels.conv4.simd import fill, fma, gate, load, plus, store
from rrzoo.kernels.conv4.winograd import POSITIONS, input_transform, output_transform

GROUP = 8  # output channels whose products of one tile are in the cache at once


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
def multiply_tile(
    values: Address,
    position: int,
    channels: int,
    weights: Address,
    starts: Address,
    target: Address,
    target_position: int,
) -> None:
    """Multiply 16 times values (channels,), `position` bytes apart, by weights: to GROUP products each.

    Weights are packed (16, GROUP / TILE, channels, TILE), starts are (16, GROUP).
    """
    for i in range(POSITIONS):
        for part in range(GROUP // TILE):
            multiply(
                values + i * position,
                channels // 2,
                weights + (i * GROUP // TILE + part) * channels * TILE * 4,
                starts + (i * GROUP + part * TILE) * 4,
                target + i * target_position + part * TILE * BYTES,
            )


@njit(**OPTIONS)
def _convolve_tiles(
    source: Array, weights: Array, starts: Array, y: int, out: Address, totals: Address, scratch: Address
) -> None:
    """Convolve rows y and y + 1 of one block; add their sums and sums of squares to totals[2][channels_out]."""
    width, channels, groups = source.shape[1] - 2, source.shape[2], len(weights)
    pixel, out_pixel = channels * BYTES, groups * GROUP * BYTES
    row, position = (width + 2) * pixel, (channels + GROUP + 1) * BYTES
    products = scratch + channels * BYTES
    for x in range(0, width, 2):
        corner = source.ctypes.data + y * row + x * pixel
        for channel in range(channels):
            input_transform(corner + channel * BYTES, row, pixel, scratch + channel * BYTES, position)
        for group in range(groups):
            first_weight = weights.ctypes.data + group * POSITIONS * GROUP * channels * 4
            first_start = starts.ctypes.data + group * POSITIONS * GROUP * 4
            multiply_tile(scratch, position, channels, first_weight, first_start, products, position)
            for i in range(GROUP):
                channel = group * GROUP + i
                output_transform(
                    products + i * BYTES,
                    position,
                    out + x * out_pixel + channel * BYTES,
                    width * out_pixel,
                    out_pixel,
                    totals + channel * BYTES,
                    totals + (groups * GROUP + channel) * BYTES,
                )


@njit(**OPTIONS)
def _pool(
    layer: int, before: Array, norm: Array, first: First, passed: Array, source: Array, block: int, thread: int, y: int
) -> None:
    """Make row y of the input of a layer; args are those of `forward_layer`."""
    if layer == 1:
        pool_first(first_rows(first, block, 2 * y, before[thread]), norm, source[block], y, passed[block])
    else:
        _pool_into(before[block, 2 * y].ctypes.data, norm, source[block], y)


@njit(**OPTIONS)
def find_centers(
    layer: int,
    before: Array,
    norm: Array,
    first: First,
    passed: Array,
    source: Array,
    weights: Array,
    starts: Array,
    scratch: Array,
) -> Array:
    """Return a guess (channels,) at the means of a convolution: those of two rows amid the first block.

    Args are those of `forward_layer`; `starts` must be 0.
    """
    width, channels = source.shape[2] - 2, len(weights) * GROUP
    middle = width // 4 * 2
    for y in range(max(middle - 1, 0), min(middle + 3, width)):
        _pool(layer, before, norm, first, passed, source, 0, 0, y)
    rows, totals = np.empty((2, width, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
    scratch_at = scratch.ctypes.data
    _convolve_tiles(source[0], weights, starts, middle, rows.ctypes.data, totals.ctypes.data, scratch_at)
    return means_of(totals, 2 * width)


@njit(parallel=True, **OPTIONS)
def forward_layer(
    layer: int,
    before: Array,
    norm: Array,
    first: First,
    passed: Array,
    source: Array,
    weights: Array,
    starts: Array,
    scratch: Array,
    target: Array,
    sums: Array,
) -> None:
    """Run BatchNorm, ReLU and pooling of the layer before, and the convolution of layer 1 to 3.

    Args:
        layer: 1 to 3.
        before: convolution of the layer before, (blocks, 2 S, 2 S, channels_in, 16); in layer 1 scratch,
            (threads, 2, 2 S, channels_in, 16).
        norm: its scale and shift, (2, channels_in).
        first, passed: see `forward_first` and `pool_first`; used in layer 1 only.
        source: written: the inputs, (blocks, S + 2, S + 2, channels_in, 16), border 0.
        weights: transformed and packed, (channels_out / GROUP, 16, GROUP / TILE, channels_in, TILE).
        starts: minus the centers at position 5, which goes to all four pixels, else 0, (channels_out / GROUP, 16,
            GROUP).
        scratch: (threads, 16, channels_in + GROUP + 1, 16). The odd count keeps positions apart in the cache.
        target: written: the convolution less centers, (blocks, S, S, channels_out, 16).
        sums: written, float64 (blocks, 2, channels_out): of `target` and of its squares.
    """
    blocks, height, width, channels = target.shape[:4]
    for i in prange(blocks):
        block, thread = nth_block(i, blocks, layer % 2 == 1), numba.get_thread_id()
        part, totals = np.zeros((2, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
        ready = 0
        for y in range(0, height, 2):
            while ready < min(y + 3, height):
                _pool(layer, before, norm, first, passed, source, block, thread, ready)
                ready += 1
            out = target.ctypes.data + (block * height + y) * width * channels * BYTES
            part_at, scratch_at = part.ctypes.data, scratch[thread].ctypes.data
            _convolve_tiles(source[block], weights, starts, y, out, part_at, scratch_at)
            flush(part, totals)
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
