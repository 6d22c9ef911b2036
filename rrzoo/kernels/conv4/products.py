"""The products that cost nearly all of Conv4's time, with their sums kept in registers.

`convolve` and `correlate` serve the first layer, `multiply`, `transpose` and `multiply_outer` the tiles of the others.
"""

from typing import Any

from numba.core import cgutils

from rrzoo.kernels.conv4.llvm import (
    BYTES,
    LANES,
    VECTOR,
    WIDTH,
    multiply_add,
    number,
    procedure,
    read,
    read_repeated,
    shuffle,
    variables,
    write,
    zero,
)

# Channels whose sums fill the registers: 8 hold 16 floats each, or 4 hold 16 floats in two. There are registers for as
# many PIXELS or tiles at once.
TILE, PIXELS = (8, 2) if WIDTH == 16 else (4, 1)


@procedure
def convolve(
    builder: Any,
    source: Any,
    row: Any,
    pixel: Any,
    channels: Any,
    weights: Any,
    starts: Any,
    target: Any,
    target_pixel: Any,
) -> None:
    """Convolve 3 x 3 pixels at PIXELS neighbouring places: target[TILE] = starts + sum of source[channels] * weights.

    Args are addresses, strides in bytes and a count; `weights` is [channels][9][TILE], `starts` one float per TILE.
    """
    sums = _start(builder, starts, PIXELS)
    windows = [[source], [builder.add(source, row)], [builder.add(builder.add(source, row), row)]]
    for window in windows:
        for _ in range(PIXELS + 1):
            window.append(builder.add(window[-1], pixel))
    with cgutils.for_range(builder, channels) as loop:
        weight = builder.add(weights, builder.mul(loop.index, number(9 * TILE * 4)))
        offset = builder.mul(loop.index, number(BYTES))
        for tap in range(9):
            window = windows[tap // 3][tap % 3 :]
            inputs = [read(builder, builder.add(window[p], offset), kind=VECTOR) for p in range(PIXELS)]
            _add_products(builder, inputs, weight, 4 * tap * TILE, sums)
    for p in range(PIXELS):
        _finish(builder, sums[p * TILE : (p + 1) * TILE], target)
        target = builder.add(target, target_pixel)


@procedure
def multiply(
    builder: Any,
    source: Any,
    source_tile: Any,
    pairs: Any,
    weights: Any,
    starts: Any,
    target: Any,
    target_tile: Any,
) -> None:
    """Compute target[TILE] = starts[TILE] + sum over 2 * pairs of source[.] * weights[.][TILE] for PIXELS tiles.

    Args are addresses and a count; `source_tile` and `target_tile` are the bytes from one tile to the next.
    """
    sums = _start(builder, starts, PIXELS)
    with cgutils.for_range(builder, pairs) as loop:
        weight = builder.add(weights, builder.mul(loop.index, number(2 * TILE * 4)))
        place = builder.add(source, builder.mul(loop.index, number(2 * BYTES)))
        places = [place, *(builder.add(place, builder.mul(source_tile, number(p))) for p in range(1, PIXELS))]
        for i in range(2):
            inputs = [read(builder, place, i * BYTES, VECTOR) for place in places]
            _add_products(builder, inputs, weight, 4 * i * TILE, sums)
    for p in range(PIXELS):
        _finish(builder, sums[p * TILE : (p + 1) * TILE], target)
        target = builder.add(target, target_tile)


def _start(builder: Any, starts: Any, pixels: int) -> list[Any]:
    values = [read_repeated(builder, starts, 4 * i, VECTOR) for i in range(TILE)]
    return variables(builder, values * pixels)


def _add_products(builder: Any, inputs: list[Any], weights: Any, offset: int, sums: list[Any], step: int = 4) -> None:
    for channel in range(TILE):
        factor = read_repeated(builder, weights, offset + step * channel, VECTOR)
        for p, value in enumerate(inputs):
            place = sums[p * TILE + channel]
            builder.store(multiply_add(builder, value, factor, builder.load(place)), place)


def _finish(builder: Any, sums: list[Any], target: Any) -> None:
    for channel, place in enumerate(sums):
        write(builder, builder.load(place), target, channel * BYTES)


@procedure
def correlate(
    builder: Any,
    gradient: Any,
    gradient_row: Any,
    gradient_pixel: Any,
    source: Any,
    source_row: Any,
    source_pixel: Any,
    rows: Any,
    columns: Any,
    sums: Any,
) -> None:
    """Add to sums[3][TILE] the products gradient[TILE] * source[3 neighbouring pixels], over pixels and lanes.

    Args are addresses, strides in bytes, counts; `sums` is the address of 3 x TILE floats.
    """
    totals = variables(builder, [zero()] * (3 * TILE))
    with cgutils.for_range(builder, rows) as row:
        grads = builder.add(gradient, builder.mul(row.index, gradient_row))
        inputs = builder.add(source, builder.mul(row.index, source_row))
        with cgutils.for_range(builder, columns) as column:
            grad = builder.add(grads, builder.mul(column.index, gradient_pixel))
            left = builder.add(inputs, builder.mul(column.index, source_pixel))
            middle = builder.add(left, source_pixel)
            _add_outer(builder, grad, [left, middle, builder.add(middle, source_pixel)], totals)
    _add_totals(builder, totals, sums)


@procedure
def transpose(builder: Any, place: Any) -> None:
    """Transpose 16 vectors, of 16 channels, in memory: [channel][lane] -> [lane][channel]."""
    starts = range(0, LANES, WIDTH)
    squares = {(row, column): _transposed(builder, place, row, column) for row in starts for column in starts}
    for (row, column), vectors in squares.items():
        for i, vector in enumerate(vectors):
            write(builder, vector, place, (column + i) * BYTES + 4 * row)


def _transposed(builder: Any, place: Any, row: int, column: int) -> list[Any]:
    """Return the transpose of one square of registers: blocks of 1, 2, 4 ... numbers change places."""
    vectors = [read(builder, place, (row + i) * BYTES + 4 * column) for i in range(WIDTH)]
    size = 1
    while size < WIDTH:
        low = [WIDTH + i - size if i & size else i for i in range(WIDTH)]
        high = [WIDTH + i if i & size else i + size for i in range(WIDTH)]
        for i in range(WIDTH):
            if not i & size:
                a, b = vectors[i], vectors[i + size]
                vectors[i], vectors[i + size] = shuffle(builder, a, b, low), shuffle(builder, a, b, high)
        size *= 2
    return vectors


@procedure
def multiply_outer(
    builder: Any, grads: Any, grads_step: Any, inputs: Any, inputs_step: Any, count: Any, sums: Any
) -> None:
    """Add to sums[TILE][16] the products inputs[TILE] * grads[16 channels], over `count` steps in bytes and over lanes.

    `grads` are those of 16 channels, transposed: [lane][channel]; `inputs` are [TILE][lane].
    """
    totals = variables(builder, [zero(VECTOR)] * (PIXELS * TILE))
    with cgutils.for_range(builder, count) as loop:
        grad = builder.add(grads, builder.mul(loop.index, grads_step))
        place = builder.add(inputs, builder.mul(loop.index, inputs_step))
        for lane in range(LANES):
            value = read(builder, grad, lane * BYTES, VECTOR)
            part = lane % PIXELS * TILE  # sums by turns, so that none waits for the one before
            _add_products(builder, [value], place, 4 * lane, totals[part : part + TILE], BYTES)
    for i in range(TILE):
        value = read(builder, sums, i * BYTES, VECTOR)
        for total in totals[i::TILE]:
            value = builder.fadd(value, builder.load(total))
        write(builder, value, sums, i * BYTES)


def _add_outer(builder: Any, grads: Any, inputs: list[Any], totals: list[Any]) -> None:
    for half in range(0, BYTES, 4 * WIDTH):
        values = [read(builder, address, half) for address in inputs]
        for channel in range(TILE):
            factor = read(builder, grads, channel * BYTES + half)
            for i, value in enumerate(values):
                place = totals[i * TILE + channel]
                builder.store(multiply_add(builder, value, factor, builder.load(place)), place)


def _add_totals(builder: Any, totals: list[Any], sums: Any) -> None:
    values = [builder.load(place) for place in totals]
    for i in range(0, len(values), 4):
        four = _sum_four(builder, values[i : i + 4])
        before = read(builder, sums, 4 * i, four.type)
        write(builder, builder.fadd(before, four), sums, 4 * i)


def _sum_four(builder: Any, vectors: list[Any]) -> Any:
    """Sum each of four vectors over its lanes: transpose every 4 x 4 square by two levels of halves, then fold."""
    width, quads = vectors[0].type.count, range(0, vectors[0].type.count, 4)

    def merge(a: Any, b: Any, low: tuple[int, ...], high: tuple[int, ...]) -> Any:
        picks = [[q + (i % 4) + (width if i >= 4 else 0) for q in quads for i in half] for half in (low, high)]
        return builder.fadd(shuffle(builder, a, b, picks[0]), shuffle(builder, a, b, picks[1]))

    pairs = [merge(vectors[i], vectors[i + 1], (0, 4, 1, 5), (2, 6, 3, 7)) for i in (0, 2)]
    total = merge(pairs[0], pairs[1], (0, 1, 4, 5), (2, 3, 6, 7))
    while total.type.count > 4:
        half = total.type.count // 2
        parts = [shuffle(builder, total, total, list(range(start, start + half))) for start in (0, half)]
        total = builder.fadd(*parts)
    return total
