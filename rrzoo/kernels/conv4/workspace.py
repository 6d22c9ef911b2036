"""What one pass of Conv4's compiled training step needs: its memory, and the order of its loops."""

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

LANES = 16  # views of one block
STRIP = 4  # tiles that weights are read for once
TILES = 8  # whose grads and inputs are multiplied at once for the weights' gradient
GROUPS = 32  # of blocks, at most, whose gradients of weights are summed apart
Array = np.ndarray[Any, Any]


class Loops(NamedTuple):
    """The compiled functions."""

    first: ModuleType
    forward: ModuleType
    backward: ModuleType
    weights: ModuleType
    tiles: ModuleType


def new(*shape: int, dtype: type = np.float32) -> Array:
    """Return a new array of zeros. Every array that compiled loops write to is made here."""
    count, width = math.prod(shape), np.dtype(dtype).itemsize
    memory = np.zeros(count * width + 64, np.uint8)
    start = -memory.ctypes.data % 64  # a vector then lies in one line of the cache
    return memory[start : start + count * width].view(dtype).reshape(shape)


class Workspace:
    """All arrays of one forward and one backward pass over `blocks` x 16 views of `size` px.

    `channels` are those of the images, 3, and behind each of the four layers: multiples of 8, from the second on
    of 16.
    `means` and `variances` (biased) of the four convolutions, float64 (channels,), are there after `forward`.
    """

    def __init__(self, compiled: Loops, channels: tuple[int, ...], blocks: int, size: int) -> None:
        self.loops, self.channels, self.blocks, self.size = compiled, channels, blocks, size
        threads = compiled.backward.numba.config.NUMBA_NUM_THREADS
        # Scratch of the threads: `targets[0]`, `forward_scratch` and `backward_scratch`.
        # Of layer 0: what passed its ReLU, sums of inputs.
        self.passed = new(blocks, size // 2, size // 2, self.channels[1], dtype=np.int64)
        self.inputs = new(blocks, 9, self.channels[0], dtype=np.float64)
        self.sources, self.targets, self.sums = [new(0)], [], []
        self.forward_scratch: list[tuple[Array, ...]] = [()]
        self.backward_scratch: list[tuple[Array, ...]] = [()]
        self.packed, self.transposed = [new(0)], [new(0)]  # weights, transformed
        for layer in range(4):
            inputs, outputs, edge, tile = channels[layer], channels[layer + 1], size >> layer, compiled.tiles.TILE
            self.targets.append(new(*((blocks, edge) if layer else (threads, 2)), edge, outputs, LANES))
            if layer == 0:
                self.sums.append(new(blocks, outputs // tile, inputs, 3, 3 * tile))
            else:
                group, across = compiled.tiles.GROUP, edge // 2
                self.sources.append(new(blocks, edge + 2, edge + 2, inputs, LANES))
                products = new(threads, 16, STRIP, group + 1, LANES)
                self.forward_scratch.append((new(threads, 16, STRIP, inputs + 1, LANES), products))
                self.packed.append(new(outputs // group, 16, group // tile, inputs, tile))
                self.transposed.append(new(inputs // group, 16, group // tile, outputs, tile))
                together = max(1, 64 // edge**2, blocks // GROUPS)  # blocks whose sums are one
                self.sums.append(new(-(-blocks // together), 16, outputs // LANES, inputs // tile, tile, LANES))
                grads, values = (new(threads, 16, TILES, count + 1, LANES) for count in (outputs, inputs))
                rows = 2 if across % STRIP == 0 else (STRIP - 1) // across + 3  # of tiles, those below STRIP tiles, too
                ring = new(threads, rows, 2, edge + 2, inputs, LANES)
                self.backward_scratch.append((grads, values, products, ring))

    def forward(
        self, views: Array, weights: list[Array], norm_weights: list[Array], norm_biases: list[Array], eps: list[float]
    ) -> Array:
        """Return the features (N, D) of blocked views."""
        loops = self.loops.forward
        self.sources[0] = views
        self.centers, self.means, self.offsets, self.variances, self.inverses, self.norms = [], [], [], [], [], []
        packed = self._pack_first(weights[0])
        self.first = views, packed, new(self.channels[1])
        norm = new(2, self.channels[0])
        for layer, (source, target) in enumerate(zip(self.sources, self.targets, strict=True)):
            channels = self.channels[layer + 1]
            sums = new(self.blocks, 2, channels, dtype=np.float64)
            if layer == 0:
                centers = self.loops.first.find_first_centers(self.first, channels)
                self.first = views, packed, -centers
                self.loops.first.forward_first(self.first, target, sums, self.sums[0], self.inputs)
                self.products = self._products_first()
            else:
                packed, group = self.packed[layer], self.loops.tiles.GROUP
                starts = new(channels // group, 16, group)
                self.loops.weights.transform_weights(weights[layer], packed, self.transposed[layer])
                given = self.first, self.passed, source, packed, starts, *self.forward_scratch[layer]
                centers = loops.find_centers(layer, self.targets[layer - 1], norm, *given)
                starts[:, 5] = -centers.reshape(-1, group)
                loops.forward_layer(layer, self.targets[layer - 1], norm, *given, target, sums)
            offset, square = sums.sum(0) / self.values(layer)
            variance = square - offset**2
            inverse = 1 / np.sqrt(variance + eps[layer])
            scale = norm_weights[layer] * inverse
            norm = np.stack([scale, norm_biases[layer] - offset * scale]).astype(np.float32)
            self.centers.append(centers)
            self.means.append(centers + offset)
            self.offsets.append(offset)
            self.variances.append(variance)
            self.inverses.append(inverse)
            self.norms.append(norm)
        features = new(self.blocks * LANES, self.channels[-1])
        loops.features(self.targets[3], norm, features)
        return features

    def backward(self, grads: Array, weights: list[Array]) -> list[Array]:
        """Return the gradients of all weights, norms' weights and biases, layer by layer, given the features'."""
        loops = self.loops.backward
        pooled = np.ascontiguousarray(grads.reshape(self.blocks, LANES, -1).transpose(0, 2, 1))[:, None, None]
        sums = new(self.blocks, 2, self.channels[-1], dtype=np.float64)
        loops.last_grads(self.targets[3], self.norms[3], pooled, sums)
        share = 1 / self.targets[3].shape[1] ** 2  # of a pixel in the mean that pooled it
        gradients: list[Array] = []
        for layer in (3, 2, 1):
            scale, shift = self.norms[layer]
            total, product = sums.sum(0) * share
            *of_norm, linear, constant = self._through_norm(layer, total, product)
            norm = np.stack([scale, shift, scale * share, constant, linear]).astype(np.float32)
            sums = new(self.blocks, 2, self.channels[layer], dtype=np.float64)
            loops.backward_layer(
                layer,
                self.targets[layer],
                norm,
                pooled,
                self.sources[layer],
                self.sums[layer],
                *self.backward_scratch[layer],
                self.transposed[layer],
                self.targets[layer - 1],
                self.norms[layer - 1],
                sums,
            )
            gradient = new(self.channels[layer + 1], self.channels[layer], 3, 3, dtype=np.float64)
            self.loops.weights.sum_gradients(self.sums[layer], gradient)
            pooled, share = self.sources[layer], 0.25
            gradients = [gradient, *of_norm, *gradients]
        return [array.astype(np.float32) for array in [*self._backward_first(pooled, weights[0]), *gradients]]

    def _backward_first(self, pooled: Array, weights: Array) -> list[Array]:
        """Return the first layer's gradients, given that of its pooled activations: see first_layer.py."""
        sums = new(self.blocks, 1, self.channels[1], dtype=np.float64)
        self.loops.first.backward_first(self.sources[0], pooled, self.passed, self.targets[0], self.sums[0], sums)
        share, total, products = 0.25, sums.sum((0, 1)), self._products_first()
        product = (weights * products).sum((1, 2, 3)) - self.centers[0] * total
        *of_norm, linear, constant = self._through_norm(0, total * share, product * share)
        inputs = self.inputs.sum(0).T.reshape(-1, 3, 3)
        factors = [factor[:, None, None, None] for factor in (self.norms[0][0] * share, linear, constant)]
        return [factors[0] * products + factors[1] * self.products + factors[2] * inputs, *of_norm]

    def _through_norm(self, layer: int, total: Array, product: Array) -> tuple[Array, Array, Array, Array]:
        """Return the gradients of BatchNorm's weight and bias, and the coefficients of its own: linear, constant.

        Given the sums of the gradients d behind the ReLU and of d * convolution. The gradient of the convolution is
        scale * (d - mean of d - normalised value * mean of d * normalised values).
        """
        scale, offset, inverse = self.norms[layer][0], self.offsets[layer], self.inverses[layer]
        product = (product - offset * total) * inverse
        linear = -scale * inverse * product / self.values(layer)
        return product, total, linear, -scale * total / self.values(layer) - linear * offset

    def values(self, layer: int) -> int:
        """Return how many values a mean over all pixels of all views is made of."""
        return self.blocks * LANES * (self.size >> layer) ** 2

    def _pack_first(self, weights: Array) -> Array:
        """Return weights (O, I, 3, 3) as (O / TILE, I, 9, TILE)."""
        tiles = weights.reshape(-1, self.loops.tiles.TILE, weights.shape[1], 9)
        return np.ascontiguousarray(tiles.transpose(0, 2, 3, 1))

    def _products_first(self) -> Array:
        """Return the first layer's sums of products with inputs (O, 3, 3, 3), float64, that the loops made by block."""
        parts = self.sums[0].sum(0, dtype=np.float64)  # (O / TILE, 3, 3, 3 * TILE)
        outputs, inputs = self.channels[1], self.channels[0]
        return parts.reshape(-1, inputs, 9, self.loops.tiles.TILE).transpose(0, 3, 1, 2).reshape(outputs, inputs, 3, 3)
