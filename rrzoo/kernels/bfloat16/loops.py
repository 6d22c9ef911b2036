"""BatchNorm, ReLU and average pooling in two passes over bfloat16 maps, forward and backward.

Products of bfloat16 numbers are so fast on CPUs with tiles (AMX) that a training step waits for memory: torch reads and
writes a map anew for the mean, the normalisation, the ReLU and the pooling. Here one pass sums, and one does the rest.

Maps are (N, H, W, C), channels last, as the upper half of float32 bits (uint16): numba knows no bfloat16. All sums are
float32 over a part of the maps and float64 over parts, so that the number of threads changes no bit.

Whoever edits the intrinsics here must delete `__pycache__`: numba's cache looks at the date of the calling file alone.
"""

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from rrzoo.kernels.vectors import where_above

PARTS = 64  # that sums are taken over
HALF, LAST_BIT = np.uint32(0x7FFF), np.uint32(1)
SHIFT = np.uint32(16)  # from bfloat16 to float32 bits
ZERO = np.float32(0)


@intrinsic
def _as_float(typing, bits):
    """Return the float32 of these bits, uint32."""
    return types.float32(types.uint32), lambda context, builder, _, values: builder.bitcast(values[0], ir.FloatType())


@intrinsic
def _as_bits(typing, value):
    """Return the bits, uint32, of a float32."""
    return types.uint32(types.float32), lambda context, builder, _, values: builder.bitcast(values[0], ir.IntType(32))


@njit(inline="always")
def _widen(half):
    return _as_float(np.uint32(half) << SHIFT)


@njit(inline="always")
def _narrow(value):
    """Round to the nearest, ties to even, as torch does; of numbers that are finite."""
    bits = _as_bits(value)  # type: ignore[var-annotated]
    return np.uint16((bits + HALF + ((bits >> SHIFT) & LAST_BIT)) >> SHIFT)


_loops = njit(parallel=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy", cache=True)


@_loops
def moments(maps, sums):
    """Sum values and squares: `sums`, float32 (PARTS, 2, C)."""
    count, height, width, channels = maps.shape
    share = (count + PARTS - 1) // PARTS
    for part in prange(PARTS):
        total, squares = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        for n in range(part * share, min(count, (part + 1) * share)):
            for h in range(height):
                for w in range(width):
                    pixel = maps[n, h, w]
                    for c in range(channels):
                        value = _widen(pixel[c])
                        total[c] += value
                        squares[c] += value * value
        sums[part, 0] = total
        sums[part, 1] = squares


@_loops
def normalised(maps, scale, shift, out):
    """Write relu(scale * maps + shift), of the same shape."""
    count, height, width, channels = maps.shape
    for row in prange(count * height):
        n, h = row // height, row % height
        for w in range(width):
            pixel, target = maps[n, h, w], out[n, h, w]
            for c in range(channels):
                target[c] = _narrow(max(scale[c] * _widen(pixel[c]) + shift[c], ZERO))


@_loops
def normalised_and_halved(maps, scale, shift, out):
    """Write the means of relu(scale * maps + shift) over 2 x 2 pixels, (N, H / 2, W / 2, C)."""
    count, height, width, channels = out.shape
    for row in prange(count * height):
        n, h = row // height, row % height
        for w in range(width):
            a, b = maps[n, 2 * h, 2 * w], maps[n, 2 * h, 2 * w + 1]
            c, d = maps[n, 2 * h + 1, 2 * w], maps[n, 2 * h + 1, 2 * w + 1]
            target = out[n, h, w]
            for k in range(channels):
                one = max(scale[k] * _widen(a[k]) + shift[k], ZERO)
                two = max(scale[k] * _widen(b[k]) + shift[k], ZERO)
                three = max(scale[k] * _widen(c[k]) + shift[k], ZERO)
                four = max(scale[k] * _widen(d[k]) + shift[k], ZERO)
                target[k] = _narrow((one + two + three + four) * np.float32(0.25))


@_loops
def grad_sums(maps, grads, scale, shift, step, sums):
    """Sum what comes through the ReLU, and its products with `maps`: `sums`, float32 (PARTS, 2, C).

    `grads` are those of the pooled maps, (N, H / step, W / step, C).
    """
    count, height, width, channels = maps.shape
    share = (count + PARTS - 1) // PARTS
    factor = np.float32(1) / np.float32(step * step)
    for part in prange(PARTS):
        total, products = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        for n in range(part * share, min(count, (part + 1) * share)):
            for h in range(height):
                for w in range(width):
                    pixel, grad = maps[n, h, w], grads[n, h // step, w // step]
                    for c in range(channels):
                        value = _widen(pixel[c])
                        passed = where_above(scale[c] * value + shift[c], ZERO, _widen(grad[c]) * factor, ZERO)
                        total[c] += passed
                        products[c] += passed * value
        sums[part, 0] = total
        sums[part, 1] = products


@_loops
def input_grads(maps, grads, scale, shift, step, slope, own, constant, out):
    """Write slope * passed + own * maps + constant, where `passed` is what comes through ReLU and pooling."""
    count, height, width, channels = maps.shape
    factor = np.float32(1) / np.float32(step * step)
    for row in prange(count * height):
        n, h = row // height, row % height
        for w in range(width):
            pixel, grad, target = maps[n, h, w], grads[n, h // step, w // step], out[n, h, w]
            for c in range(channels):
                value = _widen(pixel[c])
                passed = where_above(scale[c] * value + shift[c], ZERO, _widen(grad[c]) * factor, ZERO)
                target[c] = _narrow(slope[c] * passed + own[c] * value + constant[c])
