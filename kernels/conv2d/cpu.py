"""Two-dimensional convolution for float32: columns of X in the cache, and sgemm on them.

The unit of work is a row of Y (of one image): as many rows as fit ``COLUMNS`` bytes of columns are gathered,
multiplied, and put where they belong, so that no more than that stands in memory for each thread. Where a window's
elements lie side by side in X (stride 1), a row of columns is one copy.
"""

import numpy as np

from ..common.arrays import NONE1, check, check_target, finish, ready, target
from ..common.jit import jit, parallel
from ..common.pieces import PRODUCTS, pieces
from ..common.rows import add, copy, fill
from ..common.sgemm import at, gemm
from ..common.store import store

COLUMNS = 768 << 10  # bytes: a part of the second-level cache


def forward(x, w, b=None, *, geometry):
    geometry.check(x.shape, w.shape)
    x, w = ready(x, x.shape, "x"), ready(w, w.shape, "w")
    b = NONE1 if b is None else ready(b, w.shape[:1], "b")
    y = np.empty((len(x), w.shape[0], *geometry.output), np.float32)
    _forward(_pieces(x, w, y), x, w, b, y, *_numbers(geometry, x, w))
    return y


def backward_input(dy, w, x_shape, *, geometry, out=None, accumulate=False):
    geometry.check(x_shape, w.shape, dy.shape)
    dy, w = ready(dy, dy.shape, "dy"), ready(w, w.shape, "w")
    dx = target(out, x_shape, "out")
    add = out is not None and bool(accumulate)
    _backward_input(_pieces(dx, w, dy), dy, w, dx, add, *_numbers(geometry, dx, w))
    return finish(dx, out)


def backward_weight(dy, x, w_shape, *, geometry, out=None, accumulate=False, db=None, accumulate_db=False):
    geometry.check(x.shape, w_shape, dy.shape)
    dy, x = ready(dy, dy.shape, "dy"), ready(x, x.shape, "x")
    if out is not None:
        check_target(out, w_shape, "out")
    if db is not None:
        check_target(db, w_shape[:1], "db")
    like = np.empty(w_shape, np.float32)
    nt = _pieces(x, like, dy)
    dw = np.zeros((nt, *w_shape), np.float32)
    sums = np.zeros((nt, w_shape[0] if db is not None else 0), np.float32)
    _backward_weight(nt, dy, x, dw, sums, *_numbers(geometry, x, like))
    if db is not None:
        store(sums.sum(axis=0), db, accumulate_db)
    return store(dw[0] if nt == 1 else dw.sum(axis=0), out, accumulate)


def _pieces(x, w, y):
    check(y, y.shape, "y")
    return max(1, min(pieces(y.size * w[0].size, PRODUCTS), y.shape[0] * y.shape[2]))


def _numbers(geometry, x, w):
    """The geometry as kernels take it, and how many rows of Y are done at a time."""
    depth = w[0].size
    rows = COLUMNS // max(1, 4 * depth * geometry.output[1])
    return (*geometry.stride, *geometry.padding, *geometry.dilation, geometry.groups, max(1, rows))


@parallel
def _forward(t, nt, x, w, b, y, sy, sx, top, left, dy, dx, groups, rows):
    outputs, height, width = y.shape[1] // groups, y.shape[2], y.shape[3]
    lo, hi = split_rows(y.shape[0] * height, t, nt)
    depth = w.shape[1] * w.shape[2] * w.shape[3]
    most = min(rows, hi - lo) * width
    columns, product = np.empty((depth, most), np.float32), np.empty((outputs, most), np.float32)
    for r in range(lo, hi, rows):
        e = min(r + rows, hi)
        n = (e - r) * width
        for g in range(groups):
            _gather(x, g * w.shape[1], w, columns, r, e, height, width, sy, sx, top, left, dy, dx)
            first = w.ctypes.data + 4 * g * outputs * depth
            gemm(False, False, outputs, n, depth, 1, first, depth, at(columns, 0, 0), most, 0, at(product, 0, 0), most)
            _put(y, g * outputs, product, b, r, e)


@jit
def split_rows(n, t, nt):
    """The rows of Y that piece t does; there is no cache line to keep whole."""
    size = (n + nt - 1) // nt
    return min(n, t * size), min(n, (t + 1) * size)


@jit
def _put(y, channel, product, b, r, e):
    """The product, of the rows r … e − 1, into Y."""
    height, width = y.shape[2], y.shape[3]
    for o in range(product.shape[0]):
        bias = b[channel + o] if b.size > 0 else np.float32(0)
        n, q, start = r // height, r % height, 0
        for _ in range(r, e):
            row, source = y[n, channel + o, q], product[o, start : start + width]
            for i in range(width):
                row[i] = source[i] + bias
            n, q, start = _next(n, q, height, start + width)


@jit
def _gather(x, channel, w, columns, r, e, height, width, sy, sx, top, left, dy, dx):
    """Columns of the rows r … e − 1 of Y: row (c, i, j) of ``columns`` holds what those elements of windows lie on."""
    k = 0
    for c in range(w.shape[1]):
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                first = j * dx - left
                low, high = _inside(first, sx, x.shape[3], width)
                n, q, start = r // height, r % height, 0
                for _ in range(r, e):
                    h = q * sy + i * dy - top
                    into = columns[k, start : start + width]
                    if h < 0 or h >= x.shape[2]:
                        fill(into, 0)
                    else:
                        _window(into, x[n, channel + c, h], first, sx, low, high)
                    n, q, start = _next(n, q, height, start + width)
                k += 1


@jit
def _next(n, q, height, start):
    """The row of Y after row q of image n. (Divisions to find it would take longer than the copy of a row.)"""
    if q + 1 == height:
        return n + 1, 0, start
    return n, q + 1, start


@jit
def _inside(first, step, size, count):
    """Which outputs low … high − 1 of ``count`` have first + step·output in 0 … size − 1."""
    low = min(count, max(0, -(first // step)))
    return low, max(low, min(count, -((first - size) // step)))


@jit
def _window(into, source, first, step, low, high):
    """(Slices first: an index that might be negative, in the compiler's eyes, keeps a loop from being vectorised.)"""
    fill(into[:low], 0)
    if step == 1:
        copy(into[low:high], source[first + low : first + high])
    else:
        inside = source[first + low * step :]
        for q in range(high - low):
            into[low + q] = inside[q * step]
    fill(into[high:], 0)


@parallel
def _backward_input(t, nt, dy, w, dx, accumulate, sy, sx, top, left, diy, dix, groups, rows):
    """A piece does whole images, or where there are fewer than pieces, some channels: rows of windows overlap in dX."""
    outputs, height, width = dy.shape[1] // groups, dy.shape[2], dy.shape[3]
    inputs, window = w.shape[1], w.shape[2] * w.shape[3]
    n0, n1, c0, c1 = 0, dx.shape[0], 0, inputs
    if dx.shape[0] >= nt:
        n0, n1 = split_rows(dx.shape[0], t, nt)
    else:
        c0, c1 = split_rows(inputs, t, nt)
    if c1 <= c0 or n1 <= n0:
        return
    if not accumulate:
        for n in range(n0, n1):
            for g in range(groups):
                for c in range(g * inputs + c0, g * inputs + c1):
                    for h in range(dx.shape[2]):
                        fill(dx[n, c, h], 0)
    depth, whole = (c1 - c0) * window, inputs * window
    most = min(rows, (n1 - n0) * height) * width
    columns, upstream = np.empty((depth, most), np.float32), np.empty((outputs, most), np.float32)
    for r in range(n0 * height, n1 * height, rows):
        e = min(r + rows, n1 * height)
        n = (e - r) * width
        for g in range(groups):
            _take(dy, g * outputs, upstream, r, e)
            first = w.ctypes.data + 4 * (g * outputs * whole + c0 * window)
            gemm(True, False, depth, n, outputs, 1, first, whole, at(upstream, 0, 0), most, 0, at(columns, 0, 0), most)
            _scatter(dx, g * inputs + c0, c1 - c0, w, columns, r, e, height, width, sy, sx, top, left, diy, dix)


@jit
def _take(dy, channel, upstream, r, e):
    """The rows r … e − 1 of dY side by side, a channel a row."""
    height, width = dy.shape[2], dy.shape[3]
    for o in range(upstream.shape[0]):
        n, q, start = r // height, r % height, 0
        for _ in range(r, e):
            copy(upstream[o, start : start + width], dy[n, channel + o, q])
            n, q, start = _next(n, q, height, start + width)


@jit
def _scatter(dx, channel, channels, w, columns, r, e, height, width, sy, sx, top, left, dy, dx_):
    """Add the gradients of columns to what they were gathered from, in the order of (c, i, j)."""
    k = 0
    for c in range(channels):
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                first = j * dx_ - left
                low, high = _inside(first, sx, dx.shape[3], width)
                n, q, start = r // height, r % height, 0
                for _ in range(r, e):
                    h = q * sy + i * dy - top
                    if 0 <= h < dx.shape[2]:
                        _add_window(dx[n, channel + c, h], columns[k, start : start + width], first, sx, low, high)
                    n, q, start = _next(n, q, height, start + width)
                k += 1


@jit
def _add_window(into, source, first, step, low, high):
    if step == 1:
        add(into[first + low : first + high], source[low:high])
    else:
        inside = into[first + low * step :]
        for q in range(high - low):
            inside[q * step] += source[low + q]


@parallel
def _backward_weight(t, nt, dy, x, dw, db, sy, sx, top, left, diy, dix, groups, rows):
    """dw and db have a part for each piece, which are added afterwards."""
    w = dw[t]
    outputs, height, width = dy.shape[1] // groups, dy.shape[2], dy.shape[3]
    lo, hi = split_rows(dy.shape[0] * height, t, nt)
    depth = w.shape[1] * w.shape[2] * w.shape[3]
    most = min(rows, hi - lo) * width
    columns, upstream = np.empty((depth, most), np.float32), np.empty((outputs, most), np.float32)
    for r in range(lo, hi, rows):
        e = min(r + rows, hi)
        n = (e - r) * width
        for g in range(groups):
            _gather(x, g * w.shape[1], w, columns, r, e, height, width, sy, sx, top, left, diy, dix)
            _take(dy, g * outputs, upstream, r, e)
            first = w.ctypes.data + 4 * g * outputs * depth
            gemm(False, True, outputs, depth, n, 1, at(upstream, 0, 0), most, at(columns, 0, 0), most, 1, first, depth)
            if db.shape[1] > 0:
                for o in range(outputs):
                    db[t, g * outputs + o] += _sum(upstream[o], n)


@jit
def _sum(row, n):
    total = np.float32(0)
    for i in range(n):
        total += row[i]
    return total
