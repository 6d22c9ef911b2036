"""Vectors of 16 floats in compiled functions, and the two products that cost nearly all of Conv4's time.

`convolve` and `correlate` are written out in LLVM's language, since no compiler keeps their sums in registers unaided.
They need AVX2 and FMA, and use AVX-512 where it is there. Whoever edits this file must touch its users, or delete their
`__pycache__`: numba's cache on disk looks at the date of the calling file alone.
"""

from typing import Any

import llvmlite.ir as ir
import numba
from numba import types
from numba.core import cgutils, codegen
from numba.extending import models, register_model

LANES = 16
BYTES = 4 * LANES  # of one vector

intrinsic: Any = numba.extending.intrinsic  # its type hints do not know that the first argument goes away
config: Any = numba.config
CPU = set((config.CPU_FEATURES or codegen.get_host_cpu_features()).split(","))
if not {"+avx2", "+fma"} <= CPU:
    raise ImportError("this CPU lacks AVX2 or FMA")

# Output channels and pixels whose sums fill the registers: 16 of 32 hold 16 floats each, or 8 of 16 hold 8 floats each.
# `correlate` sums TILE x 3 vectors of WIDTH.
WIDTH, TILE, PIXELS = (16, 8, 2) if "+avx512f" in CPU else (8, 4, 1)

INT, FLOAT = ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)


class LanesType(types.Type):
    """The type of one vector of 16 float32 in a compiled function."""

    def __init__(self) -> None:
        super().__init__("Lanes")


lanes = LanesType()
Lanes = Any  # for annotations: such values exist in compiled code only


@register_model(LanesType)
class LanesModel(models.PrimitiveModel):
    """Tells numba that it is one LLVM vector."""

    def __init__(self, manager: Any, lanes_type: LanesType) -> None:
        super().__init__(manager, lanes_type, VECTOR)


def _int(value: int) -> ir.Constant:
    return ir.Constant(INT, value)


def _read(builder: Any, address: Any, offset: int = 0, kind: Any = VECTOR) -> Any:
    pointer = builder.inttoptr(builder.add(address, _int(offset)), kind.as_pointer())
    return builder.load(pointer, align=4)


def _write(builder: Any, value: Any, address: Any, offset: int = 0) -> None:
    pointer = builder.inttoptr(builder.add(address, _int(offset)), value.type.as_pointer())
    builder.store(value, pointer, align=4)


def _fill(builder: Any, scalar: Any, kind: Any = VECTOR) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, first, nothing, [0] * kind.count)


def _shuffle(builder: Any, left: Any, right: Any, picks: list[int]) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), len(picks)), picks))


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{a.type.count}f32"), [a, b, c])


def _zero(kind: Any = VECTOR) -> ir.Constant:
    return ir.Constant(kind, [0.0] * kind.count)


def _variables(builder: Any, values: list[Any]) -> list[Any]:
    """Return variables that LLVM turns into registers."""
    variables = [cgutils.alloca_once(builder, value.type) for value in values]
    for value, variable in zip(values, variables, strict=True):
        builder.store(value, variable)
    return variables


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """Read 16 floats."""
    return lanes(types.int64), lambda context, builder, signature, given: _read(builder, given[0])


@intrinsic
def store(typing: Any, value: Any, address: Any) -> Any:
    """Write 16 floats."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        _write(builder, *given)
        return context.get_dummy_value()

    return types.void(lanes, types.int64), generate


@intrinsic
def fill(typing: Any, scalar: Any) -> Any:
    """Return 16 times the same float."""
    return lanes(types.float32), lambda context, builder, signature, given: _fill(builder, given[0])


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b."""
    return lanes(lanes, lanes), lambda context, builder, signature, given: builder.fadd(*given)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""
    return lanes(lanes, lanes, lanes), lambda context, builder, signature, given: _fma(builder, *given)


@intrinsic
def gate(typing: Any, value: Any, condition: Any) -> Any:
    """Return `value` where `condition` is above 0, else 0."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", given[1], _zero()), given[0], _zero())

    return lanes(lanes, lanes), generate


@intrinsic
def convolve(
    typing: Any,
    source: Any,
    row: Any,
    pixel: Any,
    channels: Any,
    weights: Any,
    starts: Any,
    target: Any,
    target_pixel: Any,
) -> Any:
    """Convolve 3 x 3 pixels at PIXELS neighbouring places: target[TILE] = starts + sum of source[channels] * weights.

    Args are addresses, strides in bytes and a count; `weights` is [channels][9][TILE], `starts` one float per TILE.
    """

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source, row, pixel, channels, weights, starts, target, target_pixel = given
        sums = _variables(builder, [_fill(builder, _read(builder, starts, 4 * i, FLOAT)) for i in range(TILE)] * PIXELS)
        windows = [[source], [builder.add(source, row)], [builder.add(builder.add(source, row), row)]]
        for window in windows:
            for _ in range(PIXELS + 1):
                window.append(builder.add(window[-1], pixel))
        with cgutils.for_range(builder, channels) as loop:
            weight = builder.add(weights, builder.mul(loop.index, _int(9 * TILE * 4)))
            offset = builder.mul(loop.index, _int(BYTES))
            for tap in range(9):
                window = windows[tap // 3][tap % 3 :]
                inputs = [_read(builder, builder.add(window[p], offset)) for p in range(PIXELS)]
                for channel in range(TILE):
                    factor = _fill(builder, _read(builder, weight, 4 * (tap * TILE + channel), FLOAT))
                    for p in range(PIXELS):
                        place = sums[p * TILE + channel]
                        builder.store(_fma(builder, inputs[p], factor, builder.load(place)), place)
        for p in range(PIXELS):
            for channel in range(TILE):
                _write(builder, builder.load(sums[p * TILE + channel]), target, channel * BYTES)
            target = builder.add(target, target_pixel)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@intrinsic
def correlate(
    typing: Any,
    gradient: Any,
    gradient_block: Any,
    gradient_row: Any,
    gradient_pixel: Any,
    source: Any,
    source_block: Any,
    source_row: Any,
    source_pixel: Any,
    blocks: Any,
    rows: Any,
    columns: Any,
    sums: Any,
) -> Any:
    """Add to sums[3][TILE] the products gradient[TILE] * source[3 neighbouring pixels], over pixels, blocks and lanes.

    Args are addresses, strides in bytes, counts; `sums` is the address of 3 x TILE floats.
    """

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        gradient, source, (blocks, rows, columns, sums) = given[0], given[4], given[8:]
        kind = ir.VectorType(FLOAT, WIDTH)
        totals = _variables(builder, [_zero(kind)] * (3 * TILE))
        addresses = [gradient, source]
        with cgutils.for_range(builder, blocks) as block, cgutils.for_range(builder, rows) as row:
            for i, strides in enumerate((given[1:3], given[5:7])):
                step = builder.add(builder.mul(block.index, strides[0]), builder.mul(row.index, strides[1]))
                addresses[i] = builder.add(addresses[i], step)
            with cgutils.for_range(builder, columns) as column:
                slope = builder.add(addresses[0], builder.mul(column.index, given[3]))
                left = builder.add(addresses[1], builder.mul(column.index, given[7]))
                middle = builder.add(left, given[7])
                right = builder.add(middle, given[7])
                for half in range(0, BYTES, 4 * WIDTH):
                    inputs = [_read(builder, address, half, kind) for address in (left, middle, right)]
                    for channel in range(TILE):
                        factor = _read(builder, slope, channel * BYTES + half, kind)
                        for tap in range(3):
                            place = totals[tap * TILE + channel]
                            builder.store(_fma(builder, inputs[tap], factor, builder.load(place)), place)
        values = [builder.load(place) for place in totals]
        for i in range(0, len(values), 4):
            four = _sum_four(builder, values[i : i + 4])
            before = _read(builder, sums, 4 * i, four.type)
            _write(builder, builder.fadd(before, four), sums, 4 * i)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), generate


def _sum_four(builder: Any, vectors: list[Any]) -> Any:
    """Sum each of four vectors over its lanes: transpose every 4 x 4 square by two levels of halves, then fold."""
    width, quads = vectors[0].type.count, range(0, vectors[0].type.count, 4)

    def merge(a: Any, b: Any, low: tuple[int, ...], high: tuple[int, ...]) -> Any:
        picks = [[q + (i % 4) + (width if i >= 4 else 0) for q in quads for i in half] for half in (low, high)]
        return builder.fadd(_shuffle(builder, a, b, picks[0]), _shuffle(builder, a, b, picks[1]))

    pairs = [merge(vectors[i], vectors[i + 1], (0, 4, 1, 5), (2, 6, 3, 7)) for i in (0, 2)]
    total = merge(pairs[0], pairs[1], (0, 1, 4, 5), (2, 3, 6, 7))
    while total.type.count > 4:
        half = total.type.count // 2
        parts = [_shuffle(builder, total, total, list(range(start, start + half))) for start in (0, half)]
        total = builder.fadd(*parts)
    return total
