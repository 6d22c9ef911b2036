"""What compiled loops over pixels say in LLVM's language, since no compiler finds it unaided: the steps of `views`.

Whoever edits this file must touch its users, or delete their `__pycache__`: numba's cache on disk looks at the date of
the calling file alone.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

UNPACKED = 16  # pixels whose channels are parted together
SQUARE = 8  # views and pixels that are transposed together
FLOAT, INT, BYTE, ADDRESS = ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(64)
FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]  # of the CPU that numba compiles for
if "+avx512f" in FEATURES:  # WIDTH: floats of one vector
    WIDTH, PERMUTE = 16, "llvm.x86.avx512.permvar.sf.512"
else:
    WIDTH, PERMUTE = 8, "llvm.x86.avx2.permps" if "+avx2" in FEATURES else ""


def _select(predicate):
    """Return a function of float32 (a, b, then, otherwise): `then` where a is `predicate` b, by a select.

    A branch would keep its loop from being vectorised.
    """

    @intrinsic
    def where(typing, a, b, then, otherwise):
        def code(context, builder, signature, arguments):
            a, b, then, otherwise = arguments
            return builder.select(builder.fcmp_ordered(predicate, a, b), then, otherwise)

        return types.float32(types.float32, types.float32, types.float32, types.float32), code

    return where


where_equal = _select("==")
where_above = _select(">")


def _load(builder, address, element=FLOAT, count=WIDTH):
    pointer = builder.inttoptr(address, ir.VectorType(element, count).as_pointer())
    return builder.load(pointer, align=1 if element is BYTE else 4)


def _store(builder, value, address):
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def _step(builder, address, count, stride=1):
    """Return the address `count` strides (bytes) further; either may be a number."""
    count, stride = (ir.Constant(ADDRESS, part) if isinstance(part, int) else part for part in (count, stride))
    return builder.add(address, builder.mul(count, stride))


def _repeat(builder, value, count=WIDTH):
    nothing = ir.Constant(ir.VectorType(FLOAT, count), ir.Undefined)
    vector = builder.insert_element(nothing, value, ir.Constant(INT, 0))
    return builder.shuffle_vector(vector, nothing, ir.Constant(ir.VectorType(INT, count), [0] * count))


def _mix(builder, near, one, far, other):
    return builder.fadd(builder.fmul(near, one), builder.fmul(far, other), flags=("contract",))


def _pick(builder, values, indices):
    """Return the elements of the vector `values` at `indices`, 0 to WIDTH - 1: one instruction where there is one."""
    if PERMUTE:
        function = ir.FunctionType(values.type, [values.type, indices.type])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, PERMUTE), [values, indices])
    result = ir.Constant(values.type, ir.Undefined)
    for j in range(WIDTH):
        index = builder.extract_element(indices, ir.Constant(INT, j))
        result = builder.insert_element(result, builder.extract_element(values, index), ir.Constant(INT, j))
    return result


@intrinsic
def mix_lines(typing, near, above, far, below, line, vectors):
    """Write line[x] = near * above[x] + far * below[x] for x < vectors * WIDTH.

    All but the factors and the count are addresses, of uint8 (above, below) and float32.
    """

    def code(context, builder, signature, arguments):
        near, above, far, below, line, vectors = arguments
        near, far = _repeat(builder, near), _repeat(builder, far)
        with cgutils.for_range(builder, vectors) as loop:
            one, other = (
                builder.uitofp(_load(builder, _step(builder, source, loop.index, WIDTH), BYTE), near.type)
                for source in (above, below)
            )
            _store(builder, _mix(builder, near, one, far, other), _step(builder, line, loop.index, 4 * WIDTH))
        return context.get_dummy_value()

    return types.void(types.float32, types.int64, types.float32, *[types.int64] * 4), code


@intrinsic
def mix_pixels(typing, lines, line_stride, indices, near, far, out, out_stride, rows):
    """Write out[y, j] = near[j] * lines[y, indices[j]] + far[j] * lines[y, indices[j] + 1], j < WIDTH, for all rows y.

    0 <= indices[j] < WIDTH. Arguments are addresses, of int32 (indices) and float32, strides in bytes and a count.
    Shuffling a vector is many times faster than gathering from memory.
    """

    def code(context, builder, signature, arguments):
        lines, line_stride, indices, near, far, out, out_stride, rows = arguments
        indices = _load(builder, indices, INT)
        near, far = _load(builder, near), _load(builder, far)
        with cgutils.for_range(builder, rows) as loop:
            line = _step(builder, lines, loop.index, line_stride)
            left, right = (_pick(builder, _load(builder, _step(builder, line, byte)), indices) for byte in (0, 4))
            _store(builder, _mix(builder, near, left, far, right), _step(builder, out, loop.index, out_stride))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), code


@intrinsic
def transpose(typing, views, view_stride, out, out_stride, scale, offset):
    """Write out[x, n] = scale * views[n, x] + offset, n < SQUARE, x < SQUARE: addresses, strides in bytes, factors."""

    def code(context, builder, signature, arguments):
        views, view_stride, out, out_stride, scale, offset = arguments
        scale, offset = _repeat(builder, scale, SQUARE), _repeat(builder, offset, SQUARE)
        lines = []
        for n in range(SQUARE):
            line = _load(builder, _step(builder, views, n, view_stride), FLOAT, SQUARE)
            lines.append(builder.fadd(builder.fmul(line, scale), offset, flags=("contract",)))

        def merge(one, other, picks):
            return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(INT, SQUARE), picks))

        # swap single elements, pairs and halves across the diagonal
        for step, low, high in (
            (1, [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]),
            (2, [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]),
            (4, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
        ):
            for n in (n for n in range(SQUARE) if not n & step):
                one, other = lines[n], lines[n + step]
                lines[n], lines[n + step] = merge(one, other, low), merge(one, other, high)
        for x, line in enumerate(lines):
            _store(builder, line, _step(builder, out, x, out_stride))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32, types.float32), code


@intrinsic
def split(typing, pixels, planes, plane_stride):
    """Write planes[c, i] = pixels[i, c], c < 3, i < UNPACKED: addresses of uint8, and a stride in bytes."""

    def code(context, builder, signature, arguments):
        pixels, planes, plane_stride = arguments
        parts = [_load(builder, _step(builder, pixels, n * UNPACKED), BYTE, UNPACKED) for n in range(3)]
        for c in range(3):
            places = [3 * i + c for i in range(UNPACKED)]
            # of the first two parts all that they hold, then of the third what is missing
            first = [place if place < 2 * UNPACKED else 0 for place in places]
            both = [i if place < 2 * UNPACKED else place - UNPACKED for i, place in enumerate(places)]
            found = parts[0]
            for other, picks in ((parts[1], first), (parts[2], both)):
                found = builder.shuffle_vector(found, other, ir.Constant(ir.VectorType(INT, UNPACKED), picks))
            pointer = builder.inttoptr(_step(builder, planes, c, plane_stride), found.type.as_pointer())
            builder.store(found, pointer, align=1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), code
