"""3 x 3 convolutions of 2 x 2 pixels at once by 16 products instead of 36 (Winograd's F(2 x 2, 3 x 3)).

Lavin & Gray 2015 (arXiv 1509.09308), section 4.1, with the last row of B and the last column of A negated. For one row
of inputs d and weights g, y = A'((G g) * (B' d)); in two dimensions likewise by rows and columns:

    B' d = d0 - d2, d1 + d2, d2 - d1, d3 - d1       4 inputs -> 4 values
    A' m = m0 + m1 + m2, m1 - m2 + m3               4 products -> 2 outputs

Gradients are its transpose: A dy turns the gradients of 2 outputs into 4, whose products with G g give the inputs'
gradient through B, those with B' d the weights' through G'. Sums and differences round no worse than the direct sum of
products does.

All addresses are of vectors of 16 lanes; strides are in bytes. Half vectors are done at a time where registers are
half as long.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from rrzoo.kernels.conv4.llvm import BYTES, WIDTH, keep, multiply_add, number, procedure, read, read_repeated, write

POSITIONS = 16  # of a tile
WEIGHT_TRANSFORM = np.kron(*2 * [np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])])  # G x G: (16, 9)


@procedure
def input_transform(builder: Any, source: Any, row: Any, pixel: Any, target: Any, position: Any) -> None:
    """Write B' d B of 4 x 4 pixels of one channel to 16 places."""
    pixels = [list(_steps(builder, line, pixel, 4)) for line in _steps(builder, source, row, 4)]
    places = list(_steps(builder, target, position, POSITIONS))
    for half in range(0, BYTES, 4 * WIDTH):
        for rows in ((1, 2), (0,), (3,)):  # few values live at a time
            lines = [[read(builder, place, half) for place in pixels[j]] for j in _rows_needed(rows)]
            for j, line in zip(rows, _transform_rows(builder, rows, lines), strict=True):
                values = [
                    builder.fsub(line[0], line[2]),
                    builder.fadd(line[1], line[2]),
                    builder.fsub(line[2], line[1]),
                    builder.fsub(line[3], line[1]),
                ]
                for i, value in enumerate(values):
                    write(builder, value, places[4 * j + i], half)


def _rows_needed(rows: tuple[int, ...]) -> tuple[int, int]:
    return {(1, 2): (1, 2), (0,): (0, 2), (3,): (1, 3)}[rows]


def _transform_rows(builder: Any, rows: tuple[int, ...], lines: list[list[Any]]) -> list[list[Any]]:
    pairs = list(zip(*lines, strict=True))
    if rows == (1, 2):
        return [[builder.fadd(a, b) for a, b in pairs], [builder.fsub(b, a) for a, b in pairs]]
    return [[builder.fsub(a, b) if rows == (0,) else builder.fsub(b, a) for a, b in pairs]]


@procedure
def output_transform(
    builder: Any, source: Any, position: Any, target: Any, row: Any, pixel: Any, totals: Any, squares: Any
) -> None:
    """Write A' m A of 16 places to 2 x 2 pixels of one channel; add their sum and that of their squares."""
    places = list(_steps(builder, source, position, POSITIONS))
    pixels = [place for line in _steps(builder, target, row, 2) for place in _steps(builder, line, pixel, 2)]
    for half in range(0, BYTES, 4 * WIDTH):
        columns = [
            _transform_outputs(builder, [read(builder, places[4 * j + i], half) for j in range(4)]) for i in range(4)
        ]
        values = [value for line in zip(*columns, strict=True) for value in _transform_outputs(builder, list(line))]
        total, square = read(builder, totals, half), read(builder, squares, half)
        for value, place in zip(values, pixels, strict=True):
            write(builder, value, place, half)
            total, square = builder.fadd(total, value), multiply_add(builder, value, value, square)
        write(builder, total, totals, half)
        write(builder, square, squares, half)


def _transform_outputs(builder: Any, m: list[Any]) -> list[Any]:
    return [
        builder.fadd(m[0], builder.fadd(m[1], m[2])),
        builder.fadd(m[3], builder.fsub(m[1], m[2])),
    ]


@procedure
def output_grad_transform(
    builder: Any,
    values: Any,
    row: Any,
    pixel: Any,
    pooled: Any,
    norm: Any,
    norm_row: Any,
    target: Any,
    position: Any,
) -> None:
    """Write A dy A' to 16 places, dy being the gradient of 2 x 2 outputs of a convolution, given that of their mean.

    `norm` is the address of one channel of `backward_layer`'s norm, `values` that of the outputs.
    """
    factors = _steps(builder, norm, norm_row, 5)
    scale, shift, share, constant, linear = (read_repeated(builder, place) for place in factors)
    lines = [list(_steps(builder, line, pixel, 2)) for line in _steps(builder, values, row, 2)]
    places = list(_steps(builder, target, position, POSITIONS))
    for half in range(0, BYTES, 4 * WIDTH):
        grad = builder.fmul(share, read(builder, pooled, half))
        grads: list[list[Any]] = []
        for line in lines:
            grads.append([])
            for place in line:
                value = read(builder, place, half)
                passed = keep(builder, grad, multiply_add(builder, value, scale, shift))
                grads[-1].append(builder.fadd(passed, multiply_add(builder, linear, value, constant)))
        columns = [_transform_output_grads(builder, *pair) for pair in zip(*grads, strict=True)]
        for j, pair in enumerate(zip(*columns, strict=True)):
            for i, value in enumerate(_transform_output_grads(builder, *pair)):
                write(builder, value, places[4 * j + i], half)


def _transform_output_grads(builder: Any, a: Any, b: Any) -> list[Any]:
    return [a, builder.fadd(a, b), builder.fsub(a, b), b]


@procedure
def input_grad_transform(
    builder: Any, source: Any, position: Any, upper: Any, lower: Any, row: Any, pixel: Any
) -> None:
    """Add B p B' of 16 places to 4 x 4 pixels of one channel: two rows from `upper` and two from `lower` on."""
    places = list(_steps(builder, source, position, POSITIONS))
    lines = [*_steps(builder, upper, row, 2), *_steps(builder, lower, row, 2)]
    for half in range(0, BYTES, 4 * WIDTH):
        for j, line in enumerate(lines):
            values = []
            for i in range(4):
                p = [read(builder, places[4 * k + i], half) if k in _USED[j] else None for k in range(4)]
                values.append(_transform_input_grads(builder, p, j))
            for i, place in enumerate(_steps(builder, line, pixel, 4)):
                value = builder.fadd(read(builder, place, half), _transform_input_grads(builder, values, i))
                write(builder, value, place, half)


_USED = ((0,), (1, 2, 3), (0, 1, 2), (3,))


def _transform_input_grads(builder: Any, p: list[Any], j: int) -> Any:
    if j in (0, 3):
        return p[j]
    if j == 1:
        return builder.fsub(builder.fsub(p[1], p[2]), p[3])
    return builder.fsub(builder.fadd(p[1], p[2]), p[0])


def _steps(builder: Any, address: Any, stride: Any, count: int) -> Iterator[Any]:
    """Yield addresses, `stride` apart."""
    for i in range(count):
        yield builder.add(address, builder.mul(stride, number(i)))
