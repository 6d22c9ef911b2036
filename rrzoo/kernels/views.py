"""The K random views of `rrzoo.views` on the CPU, one view after another: equal to `rrzoo.views.apply` to 1e-5.

What makes it fast: a view is made strip by strip, so that every operation finds its strip in the first-level cache.
Only contrast waits for all strips, since it needs the mean of the whole view. Loops run over contiguous float32 without
branches or divisions, so that LLVM turns them into vector instructions. Every view is computed by itself: results
don't depend on the number of threads.

All loops are in this one file because numba's cache notices changes only of the file that holds the entry point; the
steps that are written in LLVM's language are in `vectors`.
"""

import numba
import numpy as np

from rrzoo.kernels.vectors import (
    SQUARE,
    UNPACKED,
    WIDTH,
    mix_lines,
    mix_pixels,
    split,
    transpose,
    where_above,
    where_equal,
)

f32 = np.float32
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # as in `rrzoo.views`, which imports this module
STRIP = 1024  # pixels of a view that are treated together: 12 KB
PADDING = WIDTH + 1  # elements that may be read or written beyond the last one of some arrays
DRAWN = np.dtype(  # of one row of `ViewParameters`
    [(name, np.int64) for name in ("top", "left", "height", "width")]
    + [(name, np.bool_) for name in ("flip", "jitter", "grey")]
    + [("factors", np.float32, 4), ("order", np.int8, 4)],
    align=True,
)

compiled = numba.njit(fastmath=True, boundscheck=False, error_model="numpy")
compiled_parallel = numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)


@compiled
def _unpack(pixels, planes):
    """Write uint8 (H, W, 3) as uint8 (3, H, W)."""
    rgb, flat = pixels.reshape(-1, 3), planes.reshape(3, -1)
    together = len(rgb) // UNPACKED * UNPACKED
    for i in range(0, together, UNPACKED):
        split(pixels.ctypes.data + 3 * i, planes.ctypes.data + i, flat.strides[0])
    for i in range(together, len(rgb)):
        for c in range(3):
            flat[c, i] = rgb[i, c]


@compiled
def _taps(length, size):
    """Return how many pixels of a crop of `length` make up an output pixel at most."""
    return max(2, (2 * length + size - 1) // size)


@compiled
def _weigh(length, size, flip, level, first, weights):
    """Write which pixels of a crop make up each output pixel o: weights[k, o] of pixel first[o] + k, `level` in all.

    The triangle filter of `rrzoo.views.making`. An enlarged crop has two pixels for each output pixel;
    then all of `first` is written, and what is beyond `size` repeats the border.

    Args:
        length: of the crop, px.
        size: of the view, px.
        flip: whether to mirror.
        level: of a pixel of 1.
        first: int32 (>= size,).
        weights: float32 (>= _taps(length, size), >= size).
    """
    scale = length / size
    if length <= size:
        for o in range(len(first)):
            place = ((size - 1 - o if flip else o) + 0.5) * scale - 0.5
            place = min(max(place, 0.0), length - 1.0)
            first[o] = np.int32(place)
            share = f32(place - np.floor(place))
            weights[1, o] = level * share
            weights[0, o] = level * (f32(1) - share)
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
            weights[k, o] *= level / total
        first[o] = low


@compiled
def _weigh_crop(drawn, size, scratch):
    """Fill all of `scratch` that depends on the crop alone."""
    first_row, row_weights, first, weights, bases, indices, _ = scratch
    _weigh(drawn.height, size, False, f32(1 / 255), first_row, row_weights)
    _weigh(drawn.width, size, drawn.flip, f32(1), first, weights)
    if drawn.width > size:
        return
    for g in range(len(bases)):  # the first pixels of WIDTH neighbours are less than WIDTH apart: count from the lowest
        start = _start(g, size)
        bases[g] = min(first[start], first[start + WIDTH - 1])
        for j in range(WIDTH):
            indices[g, j] = first[start + j] - bases[g]


@compiled
def _start(group, size):
    """Return the first column of WIDTH output columns: groups overlap where WIDTH does not divide `size`."""
    return max(min(group * WIDTH, size - WIDTH), 0)


@compiled
def _scale_rows(plane, drawn, size, start, stop, lines, first, weights):
    """Scale the columns of a crop of `plane`, uint8 (H, W): write output rows `start` to `stop` into `lines`."""
    corner = plane.ctypes.data + drawn.top * plane.strides[0] + drawn.left
    for y in range(start, stop):
        if drawn.height <= size:
            # addresses instead of arrays: checking and slicing these would take longer than the few steps of a row
            line = lines.ctypes.data + (y - start) * lines.strides[0]
            above = corner + first[y] * plane.strides[0]
            below = corner + min(first[y] + 1, drawn.height - 1) * plane.strides[0]
            vectors = (drawn.width + WIDTH - 1) // WIDTH
            mix_lines(weights[0, y], above, weights[1, y], below, line, vectors)
        else:
            total = lines[y - start]
            total[: drawn.width] = f32(0)
            for k in range(_taps(drawn.height, size)):
                row = plane[drawn.top + min(first[y] + k, drawn.height - 1), drawn.left :]
                weight = weights[k, y]
                for x in range(drawn.width):
                    total[x] += weight * f32(row[x])


@compiled
def _scale_columns(lines, rows, drawn, size, scratch, out):
    """Scale `rows` lines of a crop to `size` pixels and flip them: write `out`, float32 (rows * size + PADDING,)."""
    _, _, first, weights, bases, indices, _ = scratch
    if drawn.width <= size:
        for g in range(len(bases)):
            start = _start(g, size)
            mix_pixels(
                lines.ctypes.data + 4 * bases[g],
                lines.strides[0],
                indices[g].ctypes.data,
                weights[0, start:].ctypes.data,
                weights[1, start:].ctypes.data,
                out.ctypes.data + 4 * start,
                4 * size,
                rows,
            )
        return
    for y in range(rows):
        line, total = lines[y], out[y * size : (y + 1) * size]
        total[:] = f32(0)
        for k in range(_taps(drawn.width, size)):
            weight = weights[k]
            for x in range(size):
                total[x] += weight[x] * line[first[x] + k]


@compiled
def _luma(red, green, blue):
    return f32(0.2989) * red + f32(0.587) * green + f32(0.114) * blue


@compiled
def _clamp(value, low, high):
    return min(max(value, low), high)


@compiled
def _blend(red, green, blue, factor, level):
    """Blend with a level of grey: with black this is brightness, with the mean luma it is contrast."""
    rest = (f32(1) - factor) * level
    for i in range(len(red)):
        red[i] = _clamp(factor * red[i] + rest, f32(0), f32(1))
        green[i] = _clamp(factor * green[i] + rest, f32(0), f32(1))
        blue[i] = _clamp(factor * blue[i] + rest, f32(0), f32(1))


@compiled
def _saturation(red, green, blue, factor):
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        rest = (f32(1) - factor) * _luma(r, g, b)
        red[i] = _clamp(factor * r + rest, f32(0), f32(1))
        green[i] = _clamp(factor * g + rest, f32(0), f32(1))
        blue[i] = _clamp(factor * b + rest, f32(0), f32(1))


@compiled
def _hue(red, green, blue, factor):
    """Turn the hue. All is multiplied by chroma, which saves the division by it: a sixth of the circle is `chroma`."""
    shift = f32(6) * (factor - np.floor(factor))
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        high, low = max(r, max(g, b)), min(r, min(g, b))
        chroma = high - low
        green_or_blue = where_equal(high, g, f32(2) * chroma + (b - r), f32(4) * chroma + (r - g))
        sixths = where_equal(high, r, g - b, green_or_blue) + shift * chroma  # -1 to 11
        sixths = where_above(sixths, f32(5) * chroma, sixths - f32(6) * chroma, sixths)  # -1 to 5
        red[i] = _clamp(abs(sixths - f32(3) * chroma) + (low - chroma), low, high)
        green[i] = _clamp((low + f32(2) * chroma) - abs(sixths - f32(2) * chroma), low, high)
        blue[i] = _clamp(abs(sixths - chroma) + (low - chroma), low, high)


@compiled
def _sum_luma(red, green, blue):
    total = f32(0)
    for i in range(len(red)):
        total += _luma(red[i], green[i], blue[i])
    return total


@compiled
def _grey(red, green, blue):
    for i in range(len(red)):
        red[i] = green[i] = blue[i] = _luma(red[i], green[i], blue[i])


@compiled
def _adjust(view, start, stop, drawn, places, mean):
    """Adjust the colours of pixels `start` to `stop` by the operations at `places` of the order; `mean` is of luma."""
    red, green, blue = view[0, start:stop], view[1, start:stop], view[2, start:stop]
    for place in range(places[0], places[1]):
        operation = drawn.order[place]
        factor = drawn.factors[operation]
        if operation == BRIGHTNESS:
            _blend(red, green, blue, factor, f32(0))
        elif operation == CONTRAST:
            _blend(red, green, blue, factor, mean)
        elif operation == SATURATION:
            _saturation(red, green, blue, factor)
        elif operation == HUE:
            _hue(red, green, blue, factor)


@compiled
def _contrast_place(drawn):
    for place in range(4):
        if drawn.order[place] == CONTRAST:
            return place
    return 4


@compiled
def _strip_rows(size):
    return max(STRIP // size, 1)


@compiled
def _begin(planes, drawn, size, scratch, view):
    """Write one view, float32 (3, size * size), of uint8 `planes` (3, H, W) up to contrast; return its mean luma."""
    lines = scratch[-1]
    total = f32(0)
    _weigh_crop(drawn, size, scratch)
    for start in range(0, size, _strip_rows(size)):
        stop = min(start + _strip_rows(size), size)
        for c in range(3):
            _scale_rows(planes[c], drawn, size, start, stop, lines, scratch[0], scratch[1])
            _scale_columns(lines, stop - start, drawn, size, scratch, view[c, start * size :])
        if drawn.jitter:
            first, last = start * size, stop * size
            _adjust(view, first, last, drawn, (0, _contrast_place(drawn)), f32(0))
            total += _sum_luma(view[0, first:last], view[1, first:last], view[2, first:last])
    return total / f32(size * size)


@compiled
def _finish(view, start, stop, drawn, mean):
    """Change pixels `start` to `stop` of what `_begin` left, from contrast on."""
    if drawn.jitter:
        _adjust(view, start, stop, drawn, (_contrast_place(drawn), 4), mean)
    if drawn.grey:
        _grey(view[0, start:stop], view[1, start:stop], view[2, start:stop])


@compiled
def _scratch(height, width, size):
    """Return room for what making one view takes."""
    groups = (size + WIDTH - 1) // WIDTH
    taps = _taps(max(height, width), size)
    return (
        np.empty(groups * WIDTH, np.int32),  # first row of each output row
        np.empty((taps, groups * WIDTH), np.float32),  # weights of rows
        np.empty(groups * WIDTH, np.int32),  # first column of each output column
        np.empty((taps, groups * WIDTH), np.float32),  # weights of columns
        np.empty(groups, np.int32),  # first column of each WIDTH output columns
        np.empty((groups, WIDTH), np.int32),  # columns of the output columns, from there on
        # lines of the crop, scaled, as many as a strip has; no read beyond a line meets a NaN
        np.zeros((_strip_rows(size), width + WIDTH + max(PADDING, taps)), np.float32),
    )


@compiled_parallel
def _make(pixels, planes, drawn, size, scale, offset, room, out):
    """Write all views, float32 (N, 3, size * size), of uint8 `pixels` (M, H, W, 3); planes and room are scratch."""
    count, height, width, _ = pixels.shape
    area, strip = size * size, _strip_rows(size) * size
    for m in numba.prange(count):
        _unpack(pixels[m], planes[m])
    for n in numba.prange(len(drawn)):
        scratch = _scratch(height, width, size)
        view = room[numba.get_thread_id(), 0, : 3 * area].reshape(3, area)
        mean = _begin(planes[n % count], drawn[n], size, scratch, view)
        for start in range(0, area, strip):
            stop = min(start + strip, area)
            _finish(view, start, stop, drawn[n], mean)
            for c in range(3):
                made, target = view[c, start:stop], out[n, c, start:stop]
                for i in range(stop - start):
                    target[i] = scale[c] * made[i] + offset[c]


@compiled_parallel
def _make_blocks(pixels, planes, drawn, size, scale, offset, room, out):
    """Write all views blocked, float32 (N / B, size + 2, size + 2, 3, B): as `_make`, but for the layout of `out`."""
    count, height, width, _ = pixels.shape
    area, rows, block_size = size * size, _strip_rows(size), out.shape[4]
    for m in numba.prange(count):
        _unpack(pixels[m], planes[m])
    for block in numba.prange(len(out)):
        scratch = _scratch(height, width, size)
        views = room[numba.get_thread_id()]
        means = np.empty(block_size, np.float32)
        for j in range(block_size):
            n = block * block_size + j
            view = views[j, : 3 * area].reshape(3, area)
            means[j] = _begin(planes[n % count], drawn[n], size, scratch, view)
        for start in range(0, size, rows):
            stop = min(start + rows, size)
            for j in range(block_size):
                view = views[j, : 3 * area].reshape(3, area)
                _finish(view, start * size, stop * size, drawn[block * block_size + j], means[j])
            for y in range(start, stop):
                for x in range(0, size, SQUARE):
                    for c in range(3):
                        for j in range(0, block_size, SQUARE):
                            transpose(
                                views.ctypes.data + j * views.strides[0] + 4 * (c * area + y * size + x),
                                views.strides[0],
                                out.ctypes.data + block * out.strides[0] + (y + 1) * out.strides[1]
                                + (x + 1) * out.strides[2] + c * out.strides[3] + 4 * j,
                                out.strides[2],
                                scale[c],
                                offset[c],
                            )  # fmt: skip


def make(pixels, parameters, mean, std, out):
    """Write the views that `parameters` describe.

    Args:
        pixels: uint8 (M, H, W, 3), contiguous.
        parameters: of N = K * M views; crops must lie within the images: nothing checks it here.
        mean: float32 (3,) in 0..1.
        std: float32 (3,).
        out: float32 (N, 3, S, S), contiguous; or blocked, (N / B, S + 2, S + 2, 3, B), whose border is left alone; then
            SQUARE must divide S and B.
    """
    blocked = out.ndim == 5
    count, height, width, _ = pixels.shape
    size = out.shape[1] - 2 if blocked else out.shape[-1]
    drawn = np.empty(len(parameters), DRAWN)
    for field in DRAWN.names:
        drawn[field] = getattr(parameters, field)
    planes = np.empty(3 * count * height * width + PADDING, np.uint8)[:-PADDING].reshape(count, 3, height, width)
    # views that are a power of two of bytes apart would drive each other out of the cache: so the padding
    room = np.empty((numba.get_num_threads(), out.shape[4] if blocked else 1, 3 * size**2 + PADDING), np.float32)
    if not blocked:
        out = out.reshape(-1, 3, size**2)
    (_make_blocks if blocked else _make)(pixels, planes, drawn, size, 1 / std, -mean / std, room, out)
