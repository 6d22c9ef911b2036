"""What function.py runs compiled, backward; forward.py has the other half and says how activations are stored."""

import numba
import numpy as np
from numba import njit, prange

from rrzoo.kernels.conv4.first_layer import OPTIONS, Address, Array, add, flush, nth_block, reduce
from rrzoo.kernels.conv4.forward import GROUP, multiply_tile
from rrzoo.kernels.conv4.llvm import BYTES, LANES
from rrzoo.kernels.conv4.products import PAIR, TILE, multiply_outer
from rrzoo.kernels.conv4.simd import fill, fma, gate, load, plus, store
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
    """Sum the gradients of the last layer as `backward_layer` does for the others; pooled: (blocks, 1, 1, 64, 16)."""
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
def _multiply_tiles(grads: Array, values: Array, tiles: int, sums: Array) -> None:
    """Add to sums (16, channels_out / TILE, channels_in / PAIR, PAIR * TILE) what some tiles give."""
    grads_step, values_step = grads.shape[2] * BYTES, values.shape[2] * BYTES
    outputs, inputs = sums.shape[1:3]
    for position in range(POSITIONS):
        grads_at, values_at = grads[position].ctypes.data, values[position].ctypes.data
        sums_at = sums[position].ctypes.data
        for output in range(outputs):
            for pair in range(inputs):
                multiply_outer(
                    grads_at + output * TILE * BYTES,
                    grads_step,
                    values_at + pair * PAIR * BYTES,
                    values_step,
                    tiles,
                    sums_at + (output * inputs + pair) * PAIR * TILE * 4,
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
        sums: written, (groups, 16, channels_out / TILE, channels_in / PAIR, PAIR * TILE): the gradient of the
            transformed weights, by group of blocks.
        grads, values: (threads, 16, tiles at once, channels_out or channels_in + 1, 16).
        ring: (threads, 2, 2, S + 2, channels_in, 16): rows of the inputs' gradient to which the next tiles add.
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
    position, position_in = at_once * (channels + 1) * BYTES, at_once * (channels_in + 1) * BYTES
    inside = 0 if pooled.shape[1] == 1 else 1  # a mean over all pixels has one gradient
    zeros = np.zeros(POSITIONS * GROUP, np.float32)
    for i in prange(groups):
        group, thread = nth_block(i, groups, layer % 2 == 0), numba.get_thread_id()
        products = np.empty((POSITIONS, GROUP + 1, LANES), np.float32)
        part, totals = np.zeros((2, channels_in, LANES), np.float32), np.zeros((2, channels_in, LANES), np.float32)
        sums[group] = np.float32(0)
        tile = 0
        for block in range(group * size, min(blocks, (group + 1) * size)):
            ring[thread] = np.float32(0)
            totals[:] = np.float32(0)
            for y in range(0, height, 2):
                upper, lower = ring[thread, y // 2 % 2].ctypes.data, ring[thread, 1 - y // 2 % 2].ctypes.data
                for x in range(0, width, 2):
                    grads_at = grads[thread, 0, tile].ctypes.data
                    values_at = values[thread, 0, tile].ctypes.data
                    outputs = target.ctypes.data + ((block * height + y) * width + x) * pixel
                    place = (block * pooled.shape[1] + inside * (y // 2 + 1)) * pooled.shape[2] + inside * (x // 2 + 1)
                    for channel in range(channels):
                        at = channel * BYTES
                        output_grad_transform(
                            outputs + at,
                            width * pixel,
                            pixel,
                            pooled.ctypes.data + place * pixel + at,
                            norm.ctypes.data + channel * 4,
                            channels * 4,
                            grads_at + at,
                            position,
                        )
                    inputs = source.ctypes.data + (block * (height + 2) + y) * row_in + x * pixel_in
                    for channel in range(channels_in):
                        at = channel * BYTES
                        input_transform(inputs + at, row_in, pixel_in, values_at + at, position_in)
                    for part_in in range(len(weights)):
                        multiply_tile(
                            grads_at,
                            position,
                            channels,
                            weights[part_in].ctypes.data,
                            zeros.ctypes.data,
                            products.ctypes.data,
                            (GROUP + 1) * BYTES,
                        )
                        for channel in range(GROUP):
                            at = x * pixel_in + (part_in * GROUP + channel) * BYTES
                            input_grad_transform(
                                products.ctypes.data + channel * BYTES,
                                (GROUP + 1) * BYTES,
                                upper + at,
                                lower + at,
                                row_in,
                                pixel_in,
                            )
                    tile += 1
                    if tile == at_once:
                        _multiply_tiles(grads[thread], values[thread], tile, sums[group])
                        tile = 0
                for j in range(y - 1, y + 2 if y + 2 == height else y + 1):
                    if j >= 0:
                        gradient = (upper + (j + 1 - y) * row_in if j <= y else lower) + pixel_in
                        out = source.ctypes.data + (block * (height + 2) + j + 1) * row_in + pixel_in
                        for k in range(width * channels_in):
                            store(load(gradient + k * BYTES), out + k * BYTES)
                        if layer > 1:
                            rows = before[block, 2 * j].ctypes.data
                            _add_grads(rows, 2 * width, channels_in, out, pixel_in, before_norm, part.ctypes.data)
                            flush(part, totals)
                ring[thread, y // 2 % 2] = np.float32(0)
            reduce(totals, before_sums[block])
        if tile > 0:
            _multiply_tiles(grads[thread], values[thread], tile, sums[group])


@njit(parallel=True, **OPTIONS)
def add_groups(sums: Array, out: Array) -> None:
    """Sum (groups, n) float32 to (n,) float64."""
    count = sums.shape[1]
    for part in prange((count + 255) // 256):
        for i in range(part * 256, min(count, (part + 1) * 256)):
            out[i] = 0.0
        for group in range(len(sums)):
            for i in range(part * 256, min(count, (part + 1) * 256)):
                out[i] += sums[group, i]
