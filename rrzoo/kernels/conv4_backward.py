"""What conv4.py runs compiled, backward; conv4_forward.py has the other half and says how activations are stored."""

import numba
import numpy as np
from numba import njit, prange

from rrzoo.kernels.conv4_forward import OPTIONS, Address, Array, First, add, convolve_row, reduce, turn, two_rows
from rrzoo.kernels.simd import BYTES, LANES, TILE, correlate, fill, fma, gate, load, plus, store


@njit(**OPTIONS)
def _flush(row: Array, totals: Array) -> None:
    """Move the sums of one row into those of its block: long sums in float32 lose digits, sums of sums do not."""
    for i in range(totals.size // LANES):
        place = row.ctypes.data + i * BYTES
        add(load(place), totals.ctypes.data + i * BYTES)
        store(fill(np.float32(0)), place)


@njit(**OPTIONS)
def _add_slopes(
    rows: Address, width: int, channels: int, pooled: Address, pooled_pixel: int, norm: Array, totals: Address
) -> None:
    """Add two rows' sums of d and of d * value to totals[2][channels], d being the gradient behind the ReLU."""
    pixel = channels * BYTES
    for x in range(width // 2):
        for channel in range(channels):
            scale, shift = fill(norm[0, channel]), fill(norm[1, channel])
            slope = load(pooled + x * pooled_pixel + channel * BYTES)
            first, second = fill(np.float32(0)), fill(np.float32(0))
            for corner in range(4):
                value = load(rows + (corner // 2 * width + 2 * x + corner % 2) * pixel + channel * BYTES)
                passed = gate(slope, fma(value, scale, shift))
                first, second = plus(first, passed), fma(passed, value, second)
            add(first, totals + channel * BYTES)
            add(second, totals + (channels + channel) * BYTES)


@njit(**OPTIONS)
def _slope_rows(
    rows: Address,
    width: int,
    channels: int,
    pooled: Address,
    pooled_pixel: int,
    norm: Array,
    target: Address,
    target_row: int,
    target_pixel: int,
) -> None:
    """Write the gradient of two rows of a convolution's output, from that of its pooled activations."""
    pixel = channels * BYTES
    for x in range(width // 2):
        for channel in range(channels):
            scale, shift, share = fill(norm[0, channel]), fill(norm[1, channel]), fill(norm[2, channel])
            constant, linear = fill(norm[3, channel]), fill(norm[4, channel])
            slope = load(pooled + x * pooled_pixel + channel * BYTES)
            for corner in range(4):
                value = load(rows + (corner // 2 * width + 2 * x + corner % 2) * pixel + channel * BYTES)
                passed = gate(slope, fma(value, scale, shift))
                out = target + corner // 2 * target_row + (2 * x + corner % 2) * target_pixel + channel * BYTES
                store(fma(share, passed, fma(linear, value, constant)), out)


@njit(parallel=True, **OPTIONS)
def last_slopes(last: Array, norm: Array, pooled: Array, sums: Array) -> None:
    """Sum the gradients of the last layer as `backward_layer` does for the others; pooled: (blocks, 1, 1, 64, 16)."""
    blocks, height, width, channels = last.shape[:4]
    for i in prange(blocks):
        block = turn(i, blocks, True)
        totals, row = np.zeros((2, channels, LANES), np.float32), np.zeros((2, channels, LANES), np.float32)
        for y in range(0, height, 2):
            rows = last.ctypes.data + (block * height + y) * width * channels * BYTES
            slope = pooled.ctypes.data + block * channels * BYTES
            _add_slopes(rows, width, channels, slope, 0, norm, row.ctypes.data)
            _flush(row, totals)
        reduce(totals, sums[block])


@njit(**OPTIONS)
def _correlate_rows(
    gradient: Address,
    gradient_block: int,
    gradient_pixel: int,
    source: Address,
    source_block: int,
    blocks: int,
    rows: int,
    width: int,
    sums: Array,
) -> None:
    """Add to sums (channels_out / TILE, channels_in, 3, 3 * TILE) what some rows of some blocks give."""
    channels = sums.shape[1]
    source_pixel = channels * BYTES
    parts = (width + 15) // 16  # such that a tile's gradients stay in the first cache while all channels pass by
    columns = (width + parts - 1) // parts
    for tile in range(sums.shape[0]):
        for left in range(0, width, columns):
            for channel in range(channels):
                for tap in range(3):
                    correlate(
                        gradient + left * gradient_pixel + tile * TILE * BYTES,
                        gradient_block,
                        (width + 2) * gradient_pixel,
                        gradient_pixel,
                        source + (tap * (width + 2) + left) * source_pixel + channel * BYTES,
                        source_block,
                        (width + 2) * source_pixel,
                        source_pixel,
                        blocks,
                        rows,
                        min(columns, width - left),
                        sums.ctypes.data + ((tile * channels + channel) * 3 + tap) * 3 * TILE * 4,
                    )


@njit(**OPTIONS)
def rows_at_once(width: int) -> int:
    """Return of how many rows (even) the gradients are made at once: 64 pixels if the image has as many."""
    return min(width, max(2, 2 * ((64 // width + 1) // 2)))


@njit(parallel=True, **OPTIONS)
def backward_layer(
    layer: int,
    target: Array,
    norm: Array,
    pooled: Array,
    source: Array,
    sums: Array,
    scratch: Array,
    weights: Array,
    first: First,
    before: Array,
    before_norm: Array,
    before_sums: Array,
) -> None:
    """Run one layer backwards, from the gradient of its pooled activations to that of the layer before.

    Args:
        layer, target: as in `forward_layer`.
        norm: scale, shift, scale * share of a pixel in a mean, and the constant and linear coefficient of BatchNorm's
            own gradient, (5, channels_out).
        pooled: (blocks, S / 2 + 2, S / 2 + 2, channels_out, 16) with a border that is not read: `source` of the layer
            behind; or (blocks, 1, 1, channels_out, 16) in layer 3.
        source: as in `forward_layer`. Its inside, once it has been used, is overwritten with the gradient of the
            pooled activations of the layer before; not in layer 0.
        sums: written, (groups, channels_out / TILE, channels_in, 3, 3 * TILE): the weights' gradient, by group of
            blocks.
        scratch: (threads, blocks of a group, S + 2, S + 2, channels_out + 1, 16), border 0; in layer 0 of
            `rows_at_once` + 2 rows. The odd channel count keeps pixels apart in the cache.
        weights: mirrored and packed, (channels_in / TILE, channels_out, 9, TILE). Not read in layer 0, nor is what
            follows.
        first: see `forward_layer`; its weights and centers must be those of the forward pass.
        before, before_norm: the convolution of the layer before and its norm.
        before_sums: written, float64 (blocks, 2, channels_in): of the gradients d behind the ReLU, less the factor
            1 / 4 of a mean, and of d * `before`.
    """
    blocks, height, width, channels_in = len(source), source.shape[1] - 2, source.shape[2] - 2, source.shape[3]
    channels, size = target.shape[3], scratch.shape[1]
    chunk = rows_at_once(width)
    pixel = channels * BYTES
    slope_pixel = (channels + 1) * BYTES
    slope_row = (width + 2) * slope_pixel
    slope_block = scratch.shape[2] * slope_row
    source_row = (width + 2) * channels_in * BYTES
    source_block = (height + 2) * source_row
    spread = 0 if pooled.shape[1] == 1 else 1
    groups, zeros = sums.shape[0], np.zeros(channels_in, np.float32)
    for i in prange(groups):
        group, thread = turn(i, groups, layer % 2 == 0), numba.get_thread_id()
        slopes = scratch[thread].ctypes.data
        sums[group] = np.float32(0)
        start, stop = group * size, min(blocks, (group + 1) * size)
        totals = np.zeros((stop - start, 2, channels_in, LANES), np.float32)
        row_totals = np.zeros((2, channels_in, LANES), np.float32)
        done = 0
        for y in range(0, height, chunk):
            count = min(chunk, height - y)
            slopes_y = slopes + slope_row + slope_pixel + (0 if layer == 0 else y * slope_row)
            for block in range(start, stop):
                for j in range(0, count, 2):
                    place = (block * pooled.shape[1] + spread * ((y + j) // 2 + 1)) * pooled.shape[2] + spread
                    _slope_rows(
                        two_rows(layer, target, first, thread, block, y + j),
                        width,
                        channels,
                        pooled.ctypes.data + place * pixel,
                        spread * pixel,
                        norm,
                        slopes_y + (block - start) * slope_block + j * slope_row,
                        slope_row,
                        slope_pixel,
                    )
            _correlate_rows(
                slopes_y,
                slope_block,
                slope_pixel,
                source.ctypes.data + start * source_block + y * source_row,
                source_block,
                stop - start,
                count,
                width,
                sums[group],
            )
            if layer > 0:
                ready = height if y + count == height else y + count - 1
                for block in range(start, stop):
                    for j in range(done, ready):
                        out = source.ctypes.data + block * source_block + (j + 1) * source_row + channels_in * BYTES
                        convolve_row(
                            slopes + (block - start) * slope_block + j * slope_row,
                            width,
                            channels,
                            slope_pixel,
                            weights.ctypes.data,
                            zeros.ctypes.data,
                            out,
                            channels_in,
                        )
                        _add_slopes(
                            two_rows(layer - 1, before, first, thread, block, 2 * j),
                            2 * width,
                            channels_in,
                            out,
                            channels_in * BYTES,
                            before_norm,
                            row_totals.ctypes.data,
                        )
                        _flush(row_totals, totals[block - start])
                done = ready
        if layer > 0:
            for block in range(start, stop):
                reduce(totals[block - start], before_sums[block])
