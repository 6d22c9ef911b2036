"""Weights on their way into the loops, and their gradients on the way out: Winograd's G w G', and its transpose."""

import numpy as np
from numba import njit, prange

from rrzoo.kernels.conv4.first_layer import OPTIONS, Array
from rrzoo.kernels.conv4.winograd import POSITIONS, WEIGHT_TRANSFORM


@njit(parallel=True, **OPTIONS)
def transform_weights(weights: Array, packed: Array, transposed: Array) -> None:
    """Transform weights (O, I, 3, 3), computing in float64, and pack them as `forward_layer` and `backward_layer` read.

    Args:
        weights: float32.
        packed: written, (O / GROUP, 16, GROUP / TILE, I, TILE).
        transposed: written, (I / GROUP, 16, GROUP / TILE, O, TILE).
    """
    outputs, inputs = weights.shape[:2]
    parts, tile = packed.shape[2], packed.shape[4]
    for output in prange(outputs):
        columns, half = np.empty((4, 3)), 0.5
        for channel in range(inputs):
            for i in range(3):
                a = np.float64(weights[output, channel, 0, i])
                b = np.float64(weights[output, channel, 1, i])
                c = np.float64(weights[output, channel, 2, i])
                columns[0, i], columns[3, i] = a, c
                columns[1, i], columns[2, i] = half * (a + b + c), half * (a - b + c)
            part, place = output // tile, channel // tile
            for j in range(4):
                a, b, c = columns[j, 0], columns[j, 1], columns[j, 2]
                for i, value in enumerate((a, half * (a + b + c), half * (a - b + c), c)):
                    packed[part // parts, 4 * j + i, part % parts, channel, output % tile] = value
                    transposed[place // parts, 4 * j + i, place % parts, output, channel % tile] = value


@njit(parallel=True, **OPTIONS)
def sum_gradients(sums: Array, gradient: Array) -> None:
    """Sum the gradients of transformed weights over groups of blocks, in float64, and turn them into those of weights.

    Args:
        sums: (groups, 16, O / 16, I / TILE, TILE, 16), see `backward_layer`.
        gradient: written, float64 (O, I, 3, 3).
    """
    inputs, tile, lanes = gradient.shape[1], sums.shape[4], sums.shape[5]
    for number in prange(sums.shape[2] * inputs):
        part, channel = number // inputs, number % inputs
        totals = np.zeros((POSITIONS, lanes))
        for group in range(len(sums)):
            for position in range(POSITIONS):
                for lane in range(lanes):
                    totals[position, lane] += sums[group, position, part, channel // tile, channel % tile, lane]
        for tap in range(9):
            for lane in range(lanes):
                total = 0.0
                for position in range(POSITIONS):
                    total += WEIGHT_TRANSFORM[position, tap] * totals[position, lane]
                gradient[part * lanes + lane, channel, tap // 3, tap % 3] = total
