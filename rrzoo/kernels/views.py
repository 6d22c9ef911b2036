"""The K random views of `rrzoo.views` on the CPU, one view after another: equal to `rrzoo.views.apply` to 1e-5.

What makes it fast: a view stays in cache from its first operation to its last, and loops run over contiguous float32
without branches, so that LLVM turns them into vector instructions. Every view is computed by itself: results don't
depend on the number of threads.

All loops are in this one file because numba's cache notices changes only of the file that holds the entry point.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

f32 = np.float32
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # as in `rrzoo.views`, which imports this module
FLOAT, INT = ir.FloatType(), ir.IntType(32)
FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]  # of the CPU that numba compiles for
if "+avx512f" in FEATURES:  # LANES: pixels of one vector
    LANES, PERMUTE = 16, "llvm.x86.avx512.permvar.sf.512"
else:
    LANES, PERMUTE = 8, "llvm.x86.avx2.permps" if "+avx2" in FEATURES else ""
DRAWN = np.dtype(  # of one row of `ViewParameters`
    [(name, np.int64) for name in ("top", "left", "height", "width")]
    + [(name, np.bool_) for name in ("flip", "jitter", "grey")]
    + [("factors", np.float32, 4), ("order", np.int8, 4)],
    align=True,
)

compiled = numba.njit(fastmath=True, boundscheck=False, error_model="numpy")
compiled_parallel = numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)


@intrinsic
def _where_equal(typing, a, b, then, otherwise):
    """Return `then if a == b else otherwise` by a select: a branch would keep its loop from being vectorised."""

    def code(context, builder, signature, arguments):
        a, b, then, otherwise = arguments
        return builder.select(builder.fcmp_ordered("==", a, b), then, otherwise)

    return types.float32(types.float32, types.float32, types.float32, types.float32), code


def _load(builder, address, element=FLOAT):
    return builder.load(builder.inttoptr(address, ir.VectorType(element, LANES).as_pointer()), align=4)


def _store_mix(builder, near, above, far, below, address):
    total = builder.fadd(builder.fmul(near, above), builder.fmul(far, below), flags=("contract",))
    builder.store(total, builder.inttoptr(address, total.type.as_pointer()), align=4)


def _pick(builder, values, indices):
    """Return the elements of the vector `values` at `indices`, 0 to LANES - 1: one instruction where there is one."""
    if PERMUTE:
        function = ir.FunctionType(values.type, [values.type, indices.type])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, PERMUTE), [values, indices])
    result = ir.Constant(values.type, ir.Undefined)
    for j in range(LANES):
        index = builder.extract_element(indices, ir.Constant(INT, j))
        result = builder.insert_element(result, builder.extract_element(values, index), ir.Constant(INT, j))
    return result


@intrinsic
def _mix_pixels(typing, row, indices, near, far, out):
    """Write out[j] = near[j] * row[indices[j]] + far[j] * row[indices[j] + 1] for j < LANES; 0 <= indices[j] < LANES.

    Arguments are addresses, of int32 (indices) and float32. Shuffling a vector is many times faster than gathering
    from memory.
    """

    def code(context, builder, signature, arguments):
        row, indices, near, far, out = arguments
        indices = _load(builder, indices, INT)
        left = _pick(builder, _load(builder, row), indices)
        right = _pick(builder, _load(builder, builder.add(row, ir.Constant(row.type, 4))), indices)
        _store_mix(builder, _load(builder, near), left, _load(builder, far), right, out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@intrinsic
def _mix_lines(typing, near, above, far, below, out):
    """Write out[j] = near * above[j] + far * below[j] for j < LANES; all but the factors are addresses of float32."""

    def code(context, builder, signature, arguments):
        near, above, far, below, out = arguments
        first, everywhere = ir.Constant(INT, 0), ir.Constant(ir.VectorType(INT, LANES), [0] * LANES)
        spread = []
        for factor in (near, far):
            vector = builder.insert_element(ir.Constant(ir.VectorType(FLOAT, LANES), ir.Undefined), factor, first)
            spread.append(builder.shuffle_vector(vector, vector, everywhere))
        _store_mix(builder, spread[0], _load(builder, above), spread[1], _load(builder, below), out)
        return context.get_dummy_value()

    return types.void(types.float32, types.int64, types.float32, types.int64, types.int64), code


@compiled
def _unpack(pixels, planes):
    """Spread uint8 (H, W, 3) over float32 (3, H, >= W), 0 to 1."""
    height, width, _ = pixels.shape
    for y in range(height):
        for c in range(3):
            row = planes[c, y]
            for x in range(width):
                row[x] = f32(1 / 255) * f32(pixels[y, x, c])


@compiled
def _taps(length, size):
    """Return how many pixels of a crop of `length` make up an output pixel at most."""
    return max(2, (2 * length + size - 1) // size)


@compiled
def _weigh(length, size, flip, first, weights):
    """Write which pixels of a crop make up each output pixel o: weights[k, o] of pixel first[o] + k.

    The triangle filter of `rrzoo.views._bilinear_weights`. An enlarged crop has two pixels for each output pixel;
    then all of `first` is written, and what is beyond `size` repeats the border.

    Args:
        length: of the crop, px.
        size: of the view, px.
        flip: whether to mirror.
        first: int32 (>= size,).
        weights: float32 (>= _taps(length, size), >= size).
    """
    scale = length / size
    if length <= size:
        for o in range(len(first)):
            place = ((size - 1 - o if flip else o) + 0.5) * scale - 0.5
            place = min(max(place, 0.0), length - 1.0)
            first[o] = np.int32(place)
            weights[1, o] = f32(place - np.floor(place))
            weights[0, o] = f32(1) - weights[1, o]
        return
    for o in range(size):
        mirrored = size - 1 - o if flip else o
        centre = (mirrored + 0.5) * scale
        low = max(int(centre - scale + 0.5), 0)
        high = min(int(centre + scale + 0.5), length)
        total = f32(0)
        for k in range(_taps(length, size)):
            share = max(1.0 - abs(low + k + 0.5 - centre) / scale, 0.0)
            weights[k, o] = f32(share) if low + k < high else f32(0)
            total += weights[k, o]
        for k in range(_taps(length, size)):
            weights[k, o] /= total
        first[o] = low


@compiled
def _scale_rows(plane, drawn, size, scratch):
    """Cut a crop out of `plane`, float32 (H, > W), and scale its rows to `size` pixels: the first of `scratch`."""
    rows, _, _, first, weights, bases = scratch
    if drawn.width > size:
        for y in range(drawn.height):
            source, target = plane[drawn.top + y, drawn.left :], rows[y]
            target[:] = f32(0)
            for k in range(_taps(drawn.width, size)):
                weight = weights[k]
                for x in range(size):
                    target[x] += weight[x] * source[first[x] + k]
        return
    # addresses instead of arrays: checking and slicing these would take longer than the few steps of a row
    near, far, indices = weights[0].ctypes.data, weights[1].ctypes.data, first.ctypes.data
    for y in range(drawn.height):
        source = plane.ctypes.data + (drawn.top + y) * plane.strides[0] + 4 * drawn.left
        target = rows.ctypes.data + y * rows.strides[0]
        for g in range(len(bases)):
            at = 4 * LANES * g
            _mix_pixels(source + 4 * bases[g], indices + at, near + at, far + at, target + at)


@compiled
def _scale_columns(height, size, scratch, plane):
    """Scale the columns of a crop to `size` pixels: write `plane`, float32 (size * size,)."""
    rows, first, weights, _, _, _ = scratch
    if height > size or size % LANES:
        for y in range(size):
            line = plane[y * size : (y + 1) * size]
            line[:] = f32(0)
            for k in range(_taps(height, size)):
                source = rows[min(first[y] + k, height - 1)]
                weight = weights[k, y]
                for x in range(size):
                    line[x] += weight * source[x]
        return
    for y in range(size):
        line = plane.ctypes.data + 4 * size * y
        above = rows.ctypes.data + first[y] * rows.strides[0]
        below = rows.ctypes.data + min(first[y] + 1, height - 1) * rows.strides[0]
        for at in range(0, 4 * size, 4 * LANES):
            _mix_lines(weights[0, y], above + at, weights[1, y], below + at, line + at)


@compiled
def _resized_crop(planes, drawn, size, scratch, view):
    """Cut, scale and flip: write `view`, float32 (3, size * size)."""
    _, first_row, row_weights, first, weights, bases = scratch
    _weigh(drawn.height, size, False, first_row, row_weights)
    _weigh(drawn.width, size, drawn.flip, first, weights)
    if drawn.width <= size:  # the first pixels of LANES neighbours are less than LANES apart: count from the lowest
        for g in range(len(bases)):
            group = first[g * LANES : (g + 1) * LANES]
            bases[g] = min(group[0], group[LANES - 1])
            for j in range(LANES):
                group[j] -= bases[g]
    for c in range(3):
        _scale_rows(planes[c], drawn, size, scratch)
        _scale_columns(drawn.height, size, scratch, view[c])


@compiled
def _luma(red, green, blue):
    return f32(0.2989) * red + f32(0.587) * green + f32(0.114) * blue


@compiled
def _clamp(value):
    return min(max(value, f32(0)), f32(1))


@compiled
def _blend(red, green, blue, factor, level):
    """Blend with a level of grey: with black this is brightness, with the mean luma it is contrast."""
    rest = (f32(1) - factor) * level
    for i in range(len(red)):
        red[i] = _clamp(factor * red[i] + rest)
        green[i] = _clamp(factor * green[i] + rest)
        blue[i] = _clamp(factor * blue[i] + rest)


@compiled
def _saturation(red, green, blue, factor):
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        rest = (f32(1) - factor) * _luma(r, g, b)
        red[i] = _clamp(factor * r + rest)
        green[i] = _clamp(factor * g + rest)
        blue[i] = _clamp(factor * b + rest)


@compiled
def _hue(red, green, blue, factor):
    shift = f32(6) * factor
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        value, low = max(r, max(g, b)), min(r, min(g, b))
        chroma = value - low
        inverse = f32(1) / max(chroma, f32(1e-7))  # with less chroma than this, hue doesn't show
        green_or_blue = _where_equal(value, g, f32(2) + (b - r) * inverse, f32(4) + (r - g) * inverse)
        sixths = _where_equal(value, r, (g - b) * inverse, green_or_blue) + shift
        sixths -= f32(6) * np.floor(sixths * f32(1 / 6))
        red[i] = low + chroma * _clamp(abs(sixths - f32(3)) - f32(1))
        green[i] = low + chroma * _clamp(f32(2) - abs(sixths - f32(2)))
        blue[i] = low + chroma * _clamp(f32(2) - abs(sixths - f32(4)))


@compiled
def _mean_luma(red, green, blue):
    total = f32(0)
    for i in range(len(red)):
        total += _luma(red[i], green[i], blue[i])
    return total / f32(len(red))


@compiled
def _normalise(red, green, blue, grey, scale, offset):
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        if grey:
            r = g = b = _luma(r, g, b)
        red[i] = scale[0] * r + offset[0]
        green[i] = scale[1] * g + offset[1]
        blue[i] = scale[2] * b + offset[2]


@compiled
def _make_one(planes, drawn, size, scale, offset, scratch, view):
    """Write one view, float32 (3, size * size), of float32 `planes` (3, H, > W)."""
    _resized_crop(planes, drawn, size, scratch, view)
    red, green, blue = view[0], view[1], view[2]
    if drawn.jitter:
        for operation in drawn.order:
            factor = drawn.factors[operation]
            if operation == BRIGHTNESS:
                _blend(red, green, blue, factor, f32(0))
            elif operation == CONTRAST:
                _blend(red, green, blue, factor, _mean_luma(red, green, blue))
            elif operation == SATURATION:
                _saturation(red, green, blue, factor)
            elif operation == HUE:
                _hue(red, green, blue, factor)
    _normalise(red, green, blue, drawn.grey, scale, offset)


@compiled_parallel
def _make(pixels, drawn, size, scale, offset, out):
    """Write all views, float32 (N, 3, size * size), of uint8 `pixels` (M, H, W, 3)."""
    count, height, width, _ = pixels.shape
    padded = (size + LANES - 1) // LANES * LANES
    taps = _taps(max(height, width), size)
    for m in numba.prange(count):
        planes = np.zeros((3, height, width + LANES + taps), np.float32)  # no read beyond a row meets a NaN
        scratch = (
            np.empty((height, padded), np.float32),  # rows of the crop, scaled
            np.empty(padded, np.int32),  # first row of each output row
            np.empty((taps, padded), np.float32),  # weights of rows
            np.empty(padded, np.int32),  # first column of each output column
            np.empty((taps, padded), np.float32),  # weights of columns
            np.empty(padded // LANES, np.int32),  # first column of each LANES output columns
        )
        _unpack(pixels[m], planes)
        for n in range(m, len(drawn), count):
            _make_one(planes, drawn[n], size, scale, offset, scratch, out[n])


def make(pixels, parameters, mean, std, out):
    """Write the views that `parameters` describe.

    Args:
        pixels: uint8 (M, H, W, 3), contiguous.
        parameters: of N = K * M views; crops must lie within the images: nothing checks it here.
        mean: float32 (3,) in 0..1.
        std: float32 (3,).
        out: float32 (N, 3, S, S), contiguous.
    """
    size = out.shape[-1]
    drawn = np.empty(len(parameters), DRAWN)
    for field in DRAWN.fields:
        drawn[field] = getattr(parameters, field)
    _make(pixels, drawn, size, 1 / std, -mean / std, out.reshape(-1, 3, size * size))
