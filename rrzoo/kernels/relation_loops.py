"""The compiled loops of `rrzoo.kernels.relation`, whose docstring says what they do.

A plan is (first view, second view, shift), int64 (P,) each. `rows` are float32 (K, M, UNITS) if nothing else is said,
and [side] or [block] in a comment is a leading axis. Each number is summed by one thread in one order.
"""

import functools

import numba
import numpy as np

UNITS = 32  # hidden units treated together, so that three views' rows stay in the first-level cache

# reassociation lets sums be vectorised; NaN and infinity are kept, since training stops at a loss that is one
_jit = functools.partial(
    numba.njit, cache=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", boundscheck=False
)


@_jit()
def _side(plan, side, images):
    """Return, for each pair, the view of this side, that of the other, and by how many rows the other is rolled."""
    first, second, shift = plan
    return (first, second, shift) if side == 0 else (second, first, images - shift)


@_jit()
def _pairs_of_row(side, view, views):
    return np.float32(2 * (views - 1 - view) if side == 0 else 2 * view)


# Small loops that write one array each: LLVM vectorises a loop only while few of its arrays could overlap.


@_jit()
def _add(total, row):
    for k in range(total.size):
        total[k] += row[k]


@_jit()
def _add_both(total, one, other):
    for k in range(total.size):
        total[k] += one[k] + other[k]


@_jit()
def _add_columns(total, rows):
    for m in range(len(rows)):
        for c in range(UNITS):
            total[c] += rows[m, c]


@_jit()
def _add_products(total, rows, other):
    for m in range(len(rows)):
        for c in range(UNITS):
            total[c] += rows[m, c] * other[m, c]


@_jit(inline="always")
def _with_sign(value, sign):
    """Return `value`, negated where `sign` is negative. An integer's sign chooses in one instruction."""
    return -value if np.float32(sign).view(np.int32) < 0 else value


@_jit(inline="always")
def _add_signs(total, own, one, other, grad_one, grad_other):
    for c in range(UNITS):
        total[c] += _with_sign(grad_one, own[c] + one[c]) + _with_sign(grad_other, own[c] + other[c])


@_jit()
def _absolute_dots(own, one, other, weight):
    total_one, total_other = np.float32(0), np.float32(0)
    for c in range(own.size):
        total_one += weight[c] * abs(own[c] + one[c])
        total_other += weight[c] * abs(own[c] + other[c])
    return total_one, total_other


@_jit()
def _scale(rows, scale, offset, out, start):
    """Write rows * scale + offset into UNITS columns of `out` from `start` on."""
    for i in range(len(rows)):
        for m in range(rows.shape[1]):
            for c in range(UNITS):
                out[i, m, start + c] = rows[i, m, c] * scale[c] + offset[c]


@_jit()
def _centre(rows, side, start, out):
    """Copy UNITS columns of (K, M, H) rows without their mean over all pairs; return the mean."""
    views, images, _ = rows.shape
    pivot = rows[0, 0, start : start + UNITS].copy()  # sums of differences lose fewer digits
    total = np.zeros(UNITS)
    for i in range(views):
        part = np.zeros(UNITS, np.float32)
        for m in range(images):
            for c in range(UNITS):
                difference = rows[i, m, start + c] - pivot[c]
                out[i, m, c] = difference
                part[c] += difference
        total += _pairs_of_row(side, i, views) * part
    mean = (total / (views * (views - 1) * images)).astype(np.float32)
    for i in range(views):
        for m in range(images):
            for c in range(UNITS):
                out[i, m, c] -= mean[c]
    return pivot + mean


@_jit()
def _sum_partners(plan, side, partner, sums):
    """Sum, for each row, the rows it meets: those of the same image are all of the later views, or all of the earlier.

    `plan` is as seen from this side.
    """
    views, images, _ = partner.shape
    size = images * UNITS
    rows, flat = partner.reshape(views, size), sums.reshape(views, size)
    positive = np.zeros(size, np.float32)
    for k in range(views):
        i = views - 1 - k if side == 0 else k
        flat[i] = positive
        _add(positive, rows[i])
    for i, j, roll in zip(*plan):  # noqa: B905  # numba knows no `strict`
        total, row, cut = flat[i], rows[j], roll * UNITS
        _add(total[:cut], row[size - cut :])
        _add(total[cut:], row[: size - cut])


@_jit()
def _sum_signs(plan, own, partner, grad_one, grad_other, sums):
    """Sum, for each row, its pairs' gradients with the signs of their hidden units."""
    images = own.shape[1]
    sums[:] = np.float32(0)
    own_index, partner_index, rolls = plan
    for p in range(len(rolls)):
        i, j, roll = own_index[p], partner_index[p], rolls[p]
        for m in range(images):
            back = m - roll if m >= roll else m - roll + images
            _add_signs(sums[i, m], own[i, m], partner[j, m], partner[j, back], grad_one[p, m], grad_other[p, m])


@_jit()
def share(plan, grad, turned, totals):
    """Sum each row's gradients of logits (2, P, M); roll those of negative pairs to the rows of the second side."""
    first, second, shift = plan
    images = grad.shape[2]
    for p in range(len(shift)):
        cut = images - shift[p]
        turned[1, p, :cut] = grad[1, p, shift[p] :]
        turned[1, p, cut:] = grad[1, p, : shift[p]]
        _add_both(totals[0, first[p]], grad[0, p], grad[1, p])
        _add_both(totals[1, second[p]], grad[0, p], turned[1, p])


# The three passes, over blocks of UNITS hidden units, or over pairs.


@_jit(parallel=True)
def prepare(rows, plan, norm, eps, centred, partners, scaled, moments):
    """From (first, second) rows (K, M, H) and (gamma, beta), fill what the other passes need.

    Writes: rows without their mean and the sums of the rows that each meets, [block, side]; rows behind BatchNorm
    [side] (K, M, H), whose sums are what LeakyReLU takes; mean and variance over all pairs (2, H).
    """
    for block in numba.prange(len(centred)):
        _prepare_block(rows, plan, norm, eps, centred[block], partners[block], scaled, moments, block * UNITS)


@_jit()
def _prepare_block(rows, plan, norm, eps, centred, partners, scaled, moments, start):
    gamma, beta = norm
    views, images = centred.shape[1:3]
    columns = slice(start, start + UNITS)
    mean = np.zeros(UNITS, np.float32)
    for side in range(2):
        mean += _centre(rows[side], side, start, centred[side])
    square = np.zeros(UNITS)
    for side in range(2):
        _sum_partners(_side(plan, side, images), side, centred[1 - side], partners[side])
        for i in range(views):
            sums = np.zeros((2, UNITS), np.float32)
            _add_products(sums[0], centred[side, i], centred[side, i])
            _add_products(sums[1], centred[side, i], partners[side, i])
            square += _pairs_of_row(side, i, views) * sums[0] + sums[1]
    variance = np.maximum(square / (views * (views - 1) * images), 0.0)
    moments[0, columns], moments[1, columns] = mean, variance
    scale = (gamma[columns] / np.sqrt(variance + eps)).astype(np.float32)
    _scale(centred[0], scale, beta[columns], scaled[0], start)
    _scale(centred[1], scale, np.zeros(UNITS, np.float32), scaled[1], start)


@_jit(parallel=True)
def score(plan, scaled, linear, weight, logits):
    """Write logits (2, P, M): the linear parts [side] (K, M) of both rows, and the sum of weight (H,) |u + v|."""
    first, second, shift = plan
    images = scaled.shape[2]
    for p in numba.prange(len(shift)):
        i, j = first[p], second[p]
        for m in range(images):
            back = m - shift[p] if m >= shift[p] else m - shift[p] + images
            one, other = _absolute_dots(scaled[0, i, m], scaled[1, j, m], scaled[1, j, back], weight)
            logits[0, p, m] = one + (linear[0, i, m] + linear[1, j, m])
            logits[1, p, m] = other + (linear[0, i, m] + linear[1, j, back])


@_jit(parallel=True)
def backward(plan, grads, weights, constants, totals, centred, partners, moments, scratch, grad_rows, grad_parameters):
    """From the gradients of the logits, write those of rows [side] (K, M, H) and of (gamma, beta, weight) (3, H).

    `grads` are those of the logits (2, P, M) as the rows of each side meet them, `totals` their sums for each row
    [side] (K, M), `weights` (gamma, beta, weight), `constants` (eps, odd, even), `scratch` room [thread].
    """
    for block in numba.prange(len(centred)):
        _backward_block(
            plan, grads, weights, constants, totals, centred[block], partners[block], moments,
            scratch[numba.get_thread_id()], grad_rows, grad_parameters, block * UNITS,
        )  # fmt: skip


@_jit()
def _backward_block(
    plan, grads, weights, constants, totals, centred, partners, moments, scratch, grad_rows, grad_parameters, start
):
    views, images = centred.shape[1:3]
    columns = slice(start, start + UNITS)
    gamma, beta, weight = weights[0][columns], weights[1][columns], weights[2][columns]
    eps, odd, even = constants
    inverse = (1 / np.sqrt(moments[1, columns] + eps)).astype(np.float32)
    scale = gamma * inverse
    scaled, grad = scratch[0], scratch[1]
    _scale(centred[0], scale, beta, scaled[0], 0)
    _scale(centred[1], scale, np.zeros(UNITS, np.float32), scaled[1], 0)

    # of beta: the derivative of LeakyReLU; of gamma: with what is normalised; of weight: with z, which is made of both
    of_beta, of_centred = np.zeros(UNITS), np.zeros(UNITS)
    for side in range(2):
        _sum_signs(_side(plan, side, images), scaled[side], scaled[1 - side], grads[0][0], grads[side][1], grad[side])
        for i in range(views):
            sums = np.zeros((2, UNITS), np.float32)
            _through_relu(grad[side, i], totals[side, i], odd, even)
            _add_products(sums[0], centred[side, i], grad[side, i])
            of_centred += sums[0]
            if side == 0:  # each pair once
                _add_columns(sums[1], grad[side, i])
                of_beta += sums[1]
    of_weight = scale * of_centred + beta * of_beta
    of_beta *= weight
    of_gamma = inverse * of_centred * weight
    grad_parameters[0, columns] = of_gamma
    grad_parameters[1, columns] = of_beta
    grad_parameters[2, columns] = of_weight

    pairs_of_all = views * (views - 1) * images
    from_mean = (of_beta / pairs_of_all).astype(np.float32)
    from_variance = (of_gamma * inverse / pairs_of_all).astype(np.float32)
    factors = np.empty((4, UNITS), np.float32)
    factors[0] = scale * weight
    factors[2] = -scale * from_variance
    for side in range(2):
        for i in range(views):
            pairs = _pairs_of_row(side, i, views)
            factors[1] = -scale * pairs * from_variance
            factors[3] = -scale * pairs * from_mean
            _through_norm(grad[side, i], centred[side, i], partners[side, i], factors, grad_rows[side, i], start)


@_jit()
def _through_relu(grad, totals, odd, even):
    for m in range(len(grad)):
        for c in range(UNITS):
            grad[m, c] = even * grad[m, c] + odd * totals[m]


@_jit()
def _through_norm(grad, rows, partners, factors, out, start):
    for m in range(len(grad)):
        for c in range(UNITS):
            direct, own, met, constant = factors[0, c], factors[1, c], factors[2, c], factors[3, c]
            out[m, start + c] = direct * grad[m, c] + own * rows[m, c] + met * partners[m, c] + constant
