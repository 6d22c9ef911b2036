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
from rrzoo.kernels.conv4.simd import fill, fma, gate, load, plus, store
from rrzoo.kernels.conv4.tiles import GROUP, multiply_tiles
from rrzoo.kernels.conv4.winograd import POSITIONS, input_transform, output_transform


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
def _convolve_tiles(
    source: Array,
    weights: Array,
    starts: Array,
    start: int,
    tiles: int,
    out: Address,
    totals: Address,
    values: Array,
    products: Array,
) -> None:
    """Convolve tiles of one block from the `start`-th on; add sums and sums of squares to totals[2][channels_out].

    `out` is the address of the block's outputs, `values` and `products` are those of `forward_layer` for one thread.
    """
    width, channels, groups = source.shape[1] - 2, source.shape[2], len(weights)
    pixel, out_pixel = channels * BYTES, groups * GROUP * BYTES
    row, out_row = (width + 2) * pixel, width * out_pixel
    tile_in, tile_out = values.shape[2] * BYTES, products.shape[2] * BYTES
    position_in, position_out = values.shape[1] * tile_in, products.shape[1] * tile_out
    for tile in range(tiles):
        y, x = 2 * ((start + tile) // (width // 2)), 2 * ((start + tile) % (width // 2))
        corner, place = source.ctypes.data + y * row + x * pixel, values.ctypes.data + tile * tile_in
        for channel in range(channels):
            input_transform(corner + channel * BYTES, row, pixel, place + channel * BYTES, position_in)
    for group in range(groups):
        multiply_tiles(
            values.ctypes.data,
            tile_in,
            position_in,
            tiles,
            channels,
            weights.ctypes.data + group * POSITIONS * GROUP * channels * 4,
            starts.ctypes.data + group * POSITIONS * GROUP * 4,
            products.ctypes.data,
            tile_out,
            position_out,
        )
        for tile in range(tiles):
            y, x = 2 * ((start + tile) // (width // 2)), 2 * ((start + tile) % (width // 2))
            for i in range(GROUP):
                channel = group * GROUP + i
                output_transform(
                    products.ctypes.data + tile * tile_out + i * BYTES,
                    position_out,
                    out + y * out_row + x * out_pixel + channel * BYTES,
                    out_row,
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
    values: Array,
    products: Array,
) -> Array:
    """Return a guess (channels,) at the means of a convolution: those of two rows amid the first block.

    Args are those of `forward_layer`; `starts` must be 0.
    """
    width, channels = source.shape[2] - 2, len(weights) * GROUP
    middle = width // 4 * 2
    for y in range(max(middle - 1, 0), min(middle + 3, width)):
        _pool(layer, before, norm, first, passed, source, 0, 0, y)
    out, totals = np.empty((width, width, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
    begin, end = middle // 2 * (width // 2), (middle // 2 + 1) * (width // 2)
    for start in range(begin, end, values.shape[2]):
        tiles = min(values.shape[2], end - start)
        at, totals_at = out.ctypes.data, totals.ctypes.data
        _convolve_tiles(source[0], weights, starts, start, tiles, at, totals_at, values[0], products[0])
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
    values: Array,
    products: Array,
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
        values, products: scratch, (threads, 16, T, channels_in or GROUP + 1, 16). Weights are read once for T tiles, an
            even number. The odd counts keep positions apart in the cache.
        target: written: the convolution less centers, (blocks, S, S, channels_out, 16).
        sums: written, float64 (blocks, 2, channels_out): of `target` and of its squares.
    """
    blocks, height, width, channels = target.shape[:4]
    for i in prange(blocks):
        block, thread = nth_block(i, blocks, layer % 2 == 1), numba.get_thread_id()
        part, totals = np.zeros((2, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
        out, part_at, ready, end = target[block].ctypes.data, part.ctypes.data, 0, height * width // 4
        for start in range(0, end, values.shape[2]):
            tiles = min(values.shape[2], end - start)
            while ready < min(2 * ((start + tiles - 1) // (width // 2)) + 3, height):
                _pool(layer, before, norm, first, passed, source, block, thread, ready)
                ready += 1
            mine = values[thread], products[thread]
            _convolve_tiles(source[block], weights, starts, start, tiles, out, part_at, *mine)
            if (start + tiles) % (width // 2) == 0:
                flush(part, totals)
        reduce(totals, sums[block])


@njit(parallel=True, **OPTIONS)
def features(last: Array, norm: Array, out: Array) -> None:
    """BatchNorm, ReLU and global mean: (blocks, S, S, D, 16) -> (N, D)."""
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
