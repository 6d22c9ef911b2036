"""What function.py runs compiled, backward; forward.py has the other half and says how activations are stored."""

import numba
import numpy as np
from numba import njit, prange

from rrzoo.kernels.conv4.first_layer import OPTIONS, Address, Array, add, flush, nth_block, reduce
from rrzoo.kernels.conv4.llvm import BYTES, LANES
from rrzoo.kernels.conv4.products import TILE, multiply_outer, transpose
from rrzoo.kernels.conv4.simd import fill, fma, gate, load, plus, store
from rrzoo.kernels.conv4.tiles import GROUP, multiply_tiles
from rrzoo.kernels.conv4.winograd import POSITIONS, input_grad_transform, input_transform, output_grad_transform


@njit(**OPTIONS)
def _add_grads(
    rows: Address, width: int, channels: int, pooled: Address, pooled_pixel: int, norm: Array, totals: Address
) -> None:
    """Add two rows' sums of d and of d * value to totals[2][channels], d being the gradient behind the ReLU."""
    pixel = channels * BYTES
    for x in range(width // 2):
        for channel in range(channels):
            scale, shift = fill(norm[0, channel]), fill(norm[1, channel])
            grad = load(pooled + x * pooled_pixel + channel * BYTES)
            first, second = fill(np.float32(0)), fill(np.float32(0))
            for corner in range(4):
                value = load(rows + (corner // 2 * width + 2 * x + corner % 2) * pixel + channel * BYTES)
                passed = gate(grad, fma(value, scale, shift))
                first, second = plus(first, passed), fma(passed, value, second)
            add(first, totals + channel * BYTES)
            add(second, totals + (channels + channel) * BYTES)


@njit(parallel=True, **OPTIONS)
def last_grads(last: Array, norm: Array, pooled: Array, sums: Array) -> None:
    """Sum the gradients of the last layer as `backward_layer` does for the others; pooled: (blocks, 1, 1, D, 16)."""
    blocks, height, width, channels = last.shape[:4]
    for i in prange(blocks):
        block = nth_block(i, blocks, True)
        totals, row = np.zeros((2, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
        for y in range(0, height, 2):
            rows = last.ctypes.data + (block * height + y) * width * channels * BYTES
            grad = pooled.ctypes.data + block * channels * BYTES
            _add_grads(rows, width, channels, grad, 0, norm, row.ctypes.data)
            flush(row, totals)
        reduce(totals, sums[block])


@njit(**OPTIONS)
def _multiply_outer_tiles(grads: Array, values: Array, tiles: int, sums: Array) -> None:
    """Add to sums (16, channels_out / 16, channels_in / TILE, TILE, 16) what some tiles give; overwrite grads."""
    grads_step, values_step = grads.shape[2] * BYTES, values.shape[2] * BYTES
    outputs, inputs = sums.shape[1:3]
    for position in range(POSITIONS):
        values_at, sums_at = values[position].ctypes.data, sums[position].ctypes.data
        for output in range(outputs):
            grads_at = grads[position].ctypes.data + output * LANES * BYTES
            for tile in range(tiles):
                transpose(grads_at + tile * grads_step)
            for part in range(inputs):
                multiply_outer(
                    grads_at,
                    grads_step,
                    values_at + part * TILE * BYTES,
                    values_step,
                    tiles,
                    sums_at + (output * inputs + part) * TILE * BYTES,
                )


@njit(parallel=True, **OPTIONS)
def backward_layer(
    layer: int,
    target: Array,
    norm: Array,
    pooled: Array,
    source: Array,
    sums: Array,
    grads: Array,
    values: Array,
    products: Array,
    ring: Array,
    weights: Array,
    before: Array,
    before_norm: Array,
    before_sums: Array,
) -> None:
    """Run layer 1 to 3 backwards, from the gradient of its pooled activations to that of the layer before.

    Args:
        layer, target: as in `forward_layer`.
        norm: scale, shift, scale * share of a pixel in a mean, and the constant and linear coefficient of BatchNorm's
            own gradient, (5, channels_out).
        pooled: (blocks, S / 2 + 2, S / 2 + 2, channels_out, 16) with a border that is not read: `source` of the layer
            behind; or (blocks, 1, 1, channels_out, 16) in layer 3.
        source: as in `forward_layer`. Its inside, once it has been used, is overwritten with the gradient of the
            pooled activations of the layer before.
        sums: written, (groups, 16, channels_out / 16, channels_in / TILE, TILE, 16): the gradient of the transformed
            weights, by group of blocks.
        grads, values: scratch, (threads, 16, tiles at once, channels_out or channels_in + 1, 16).
        products: scratch, (threads, 16, T, GROUP + 1, 16). Weights are read once for T tiles, an even number.
        ring: (threads, rows of tiles, 2, S + 2, channels_in, 16): rows of the inputs' gradient to which the next tiles
            add.
        weights: transformed, transposed and packed, (channels_in / GROUP, 16, GROUP / TILE, channels_out, TILE).
        before, before_norm: the convolution of the layer before and its norm; not read in layer 1.
        before_sums: written, float64 (blocks, 2, channels_in): of the gradients d behind the ReLU, less the factor
            1 / 4 of a mean, and of d * `before`; not in layer 1.
    """
    blocks, height, width, channels = target.shape[:4]
    channels_in, groups, at_once = source.shape[3], len(sums), grads.shape[2]
    size = (blocks + groups - 1) // groups
    pixel, pixel_in = channels * BYTES, channels_in * BYTES
    row_in = (width + 2) * pixel_in
    tile_out, tile_in, tile_products = (channels + 1) * BYTES, (channels_in + 1) * BYTES, products.shape[3] * BYTES
    strip, across, slots = products.shape[2], width // 2, ring.shape[1]
    position, position_in, position_products = at_once * tile_out, at_once * tile_in, strip * tile_products
    inside = 0 if pooled.shape[1] == 1 else 1  # a mean over all pixels has one gradient
    zeros = np.zeros(POSITIONS * GROUP, np.float32)
    for i in prange(groups):
        group, thread = nth_block(i, groups, layer % 2 == 0), numba.get_thread_id()
        part, totals = np.zeros((2, channels_in, LANES), np.float32), np.zeros((2, channels_in, LANES), np.float32)
        products_at = products[thread].ctypes.data
        sums[group] = np.float32(0)
        waiting = 0  # tiles whose products with inputs are still to be summed
        for block in range(group * size, min(blocks, (group + 1) * size)):
            ring[thread] = np.float32(0)
            totals[:] = np.float32(0)
            finished = 0  # rows of tiles
            for start in range(0, height // 2 * across, strip):
                tiles = min(strip, height // 2 * across - start)
                grads_at, values_at = grads[thread, 0, waiting].ctypes.data, values[thread, 0, waiting].ctypes.data
                for tile in range(tiles):
                    down, right = (start + tile) // across, (start + tile) % across
                    outputs = target.ctypes.data + ((block * height + 2 * down) * width + 2 * right) * pixel
                    row, column = inside * (down + 1), inside * (right + 1)
                    grad = pooled.ctypes.data + ((block * pooled.shape[1] + row) * pooled.shape[2] + column) * pixel
                    for channel in range(channels):
                        at = channel * BYTES
                        output_grad_transform(
                            outputs + at,
                            width * pixel,
                            pixel,
                            grad + at,
                            norm.ctypes.data + channel * 4,
                            channels * 4,
                            grads_at + tile * tile_out + at,
                            position,
                        )
                    inputs = source.ctypes.data + (block * (height + 2) + 2 * down) * row_in + 2 * right * pixel_in
                    for channel in range(channels_in):
                        at = channel * BYTES
                        input_transform(inputs + at, row_in, pixel_in, values_at + tile * tile_in + at, position_in)
                for part_in in range(len(weights)):
                    multiply_tiles(
                        grads_at,
                        tile_out,
                        position,
                        tiles,
                        channels,
                        weights[part_in].ctypes.data,
                        zeros.ctypes.data,
                        products_at,
                        tile_products,
                        position_products,
                    )
                    for tile in range(tiles):
                        down, right = (start + tile) // across, (start + tile) % across
                        at = 2 * right * pixel_in + part_in * GROUP * BYTES
                        upper = ring[thread, down % slots].ctypes.data + at
                        lower = ring[thread, (down + 1) % slots].ctypes.data + at
                        for channel in range(GROUP):
                            at = channel * BYTES
                            input_grad_transform(
                                products_at + tile * tile_products + at,
                                position_products,
                                upper + at,
                                lower + at,
                                row_in,
                                pixel_in,
                            )
                waiting += tiles
                if waiting + strip > at_once:
                    _multiply_outer_tiles(grads[thread], values[thread], waiting, sums[group])
                    waiting = 0
                while (finished + 1) * across <= start + tiles:
                    y = 2 * finished
                    upper = ring[thread, finished % slots].ctypes.data
                    lower = ring[thread, (finished + 1) % slots].ctypes.data
                    for j in range(max(y - 1, 0), y + 2 if y + 2 == height else y + 1):
                        gradient = (upper + (j + 1 - y) * row_in if j <= y else lower) + pixel_in
                        out = source.ctypes.data + (block * (height + 2) + j + 1) * row_in + pixel_in
                        for k in range(width * channels_in):
                            store(load(gradient + k * BYTES), out + k * BYTES)
                        if layer > 1:
                            rows = before[block, 2 * j].ctypes.data
                            _add_grads(rows, 2 * width, channels_in, out, pixel_in, before_norm, part.ctypes.data)
                            flush(part, totals)
                    ring[thread, finished % slots] = np.float32(0)
                    finished += 1
            reduce(totals, before_sums[block])
        if waiting > 0:
            _multiply_outer_tiles(grads[thread], values[thread], waiting, sums[group])
