"""The branch for float32: a piece takes its rows from the norm to the sum, a block of them in its cache.

Neither the normalised rows nor those after the activation ever stand in memory: the backward computes them anew.
"""

import math

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.exp import ZERO
from ..common.jit import in_stages, jit, parallel
from ..common.pieces import split
from ..common.row_blocks import (
    adds_up,
    begin,
    begin_with,
    block_size,
    clear,
    gather,
    matrix_place,
    pass_on,
    ready_affine,
    ready_norm,
    row_pieces,
    store_sums_of_nothing,
    vector_place,
)
from ..common.rows import fill, sum_rows
from ..common.sgemm import at, gemm
from ..gelu import cpu as gelu
from ..layer_norm.cpu import affine_row, backward_rows, normalise
from ..linear.cpu import CODES, GELU, relu_slope


def suits(x, w):
    return _pieces(x, w) > 0


def forward(x, norm, fc, proj, *, activation, eps=1e-5):
    n, c, m = fc[0].shape[0], x.shape[-1], math.prod(x.shape[:-1])
    nt = max(1, _pieces(x, fc[0]))
    rows, norm = ready(x, x.shape, "x").reshape(m, c), ready_norm(norm, c)
    fc, proj = ready_affine(fc, n, c), ready_affine(proj, c, n)
    y, saved = np.empty(x.shape, np.float32), (*np.empty((2, m), np.float32), np.empty((m, n), np.float32))
    _forward(nt, rows, norm, float(eps), fc, proj, CODES[activation], y.reshape(m, c), saved)
    return y, saved


def backward(dy, x, saved, norm, fc, proj, *, activation, out, accumulate=(False,) * 7):
    n, c, m = fc[0].shape[0], x.shape[-1], math.prod(x.shape[:-1])
    nt = max(1, _pieces(x, fc[0]))
    dy, x, norm = ready(dy, x.shape, "dy"), ready(x, x.shape, "x"), ready_norm(norm, c)
    w1, w2 = ready(fc[0], (n, c), "the first w"), ready(proj[0], (c, n), "the last w")
    shapes = x.shape, (c,), (c,), (n, c), (n,), (c, n), (c,)
    if m == 0:
        store_sums_of_nothing(out[1:], accumulate[1:])
        return
    given = [target(array, shape, "out") for array, shape in zip(out, shapes, strict=True)]
    adds = tuple([bool(add) for add in accumulate])
    parts = np.empty((nt - 1, 2 * n * c + n + 3 * c), np.float32)
    _backward(
        *(nt, 0, 2, dy.reshape(m, c), x.reshape(m, c), saved, norm, w1, w2, CODES[activation]),
        *((given[0].reshape(m, c), *given[1:]), adds, parts),
    )
    for written, into in zip(given, out, strict=True):
        finish(written, into)


def _pieces(x, w):
    rows = math.prod(x.shape[:-1])
    return row_pieces(rows, 1, rows * 2 * w.size)


@parallel
def _forward(t, nt, x, norm, eps, first, second, activation, y, saved):
    (norm_w, norm_b), (w1, b1), (w2, b2), (mean, rstd, z) = norm, first, second, saved
    n, c = w1.shape
    lo, hi = split(x.shape[0], t, nt)
    block = block_size(hi - lo)
    normed, h = np.empty((block, c), np.float32), np.empty((block, n), np.float32)
    for r in range(lo, hi, block):
        e = min(r + block, hi)
        for i in range(r, e):
            mean[i], rstd[i] = normalise(x[i], norm_w, norm_b, np.float32(eps), normed[i - r])
        begin(z[r:e], b1)
        gemm(False, True, e - r, n, c, 1, at(normed, 0, 0), c, at(w1, 0, 0), c, 1, at(z, r, 0), n)
        for i in range(r, e):
            _activate(z[i], h[i - r], activation)
        begin_with(y[r:e], x[r:e], b2)
        gemm(False, True, e - r, c, n, 1, at(h, 0, 0), n, at(w2, 0, 0), n, 1, at(y, r, 0), c)


@jit
def _activate(z, h, activation):
    if activation == GELU:
        gelu.forward_row(z, h)
    else:
        for j in range(z.size):
            h[j] = ZERO if z[j] < ZERO else z[j]  # NaN stays


@jit
def _go_back(z, h, d, activation):
    """h = act(z) anew, and d ⊙ act'(z) in d's place."""
    if activation == GELU:
        for j in range(z.size):
            h[j], slope = gelu.value_and_slope(z[j])
            d[j] *= slope
    else:
        for j in range(z.size):
            h[j] = ZERO if z[j] < ZERO else z[j]
            d[j] *= relu_slope(z[j])


@jit
def _by_rows(t, nt, dy, x, saved, norm, w1, w2, activation, out, adds, parts):
    (mean, rstd, z), (norm_w, norm_b) = saved, norm
    dx, dnorm_w, dnorm_b, dw1, db1, dw2, db2 = out
    n, c = w1.shape
    vectors = 2 * n * c  # where those of parts begin
    to_w1, to_w2 = matrix_place(t, dw1, parts, 0), matrix_place(t, dw2, parts, n * c)
    to_b1, to_b2 = vector_place(t, db1, parts, vectors), vector_place(t, db2, parts, vectors + n)
    to_norm_w = vector_place(t, dnorm_w, parts, vectors + n + c)
    to_norm_b = vector_place(t, dnorm_b, parts, vectors + n + 2 * c)
    lo, hi = split(x.shape[0], t, nt)
    if t > 0 and lo == hi:
        fill(parts[t - 1], 0)
    block = block_size(hi - lo)
    normed, dn = np.empty((block, c), np.float32), np.empty((block, c), np.float32)
    h, du = np.empty((block, n), np.float32), np.empty((block, n), np.float32)
    for r in range(lo, hi, block):
        e = min(r + block, hi)
        rows, later = e - r, r > lo
        gemm(False, False, rows, n, c, 1, at(dy, r, 0), c, at(w2, 0, 0), n, 0, at(du, 0, 0), n)
        for i in range(rows):
            _go_back(z[r + i], h[i], du[i], activation)
            affine_row(x[r + i], norm_w, norm_b, mean[r + i], rstd[r + i], normed[i])
        beta = 1 if adds_up(t, later, adds[5]) else 0
        gemm(True, False, c, n, rows, 1, at(dy, r, 0), c, at(h, 0, 0), n, beta, to_w2, n)
        beta = 1 if adds_up(t, later, adds[3]) else 0
        gemm(True, False, n, c, rows, 1, at(du, 0, 0), n, at(normed, 0, 0), c, beta, to_w1, c)
        sum_rows(dy[r:e], 0, c, to_b2, adds_up(t, later, adds[6]))
        sum_rows(du[:rows], 0, n, to_b1, adds_up(t, later, adds[4]))
        gemm(False, False, rows, c, n, 1, at(du, 0, 0), n, at(w1, 0, 0), c, 0, at(dn, 0, 0), c)
        pass_on(dy[r:e], dx[r:e], adds[0])
        clear(to_norm_w, adds_up(t, later, adds[1]))
        clear(to_norm_b, adds_up(t, later, adds[2]))
        backward_rows(dn[:rows], x[r:e], norm_w, mean[r:e], rstd[r:e], dx[r:e], True, to_norm_w, to_norm_b)


@in_stages
def _backward(t, nt, stage, dy, x, saved, norm, w1, w2, activation, out, adds, parts):
    if stage == 0:
        _by_rows(t, nt, dy, x, saved, norm, w1, w2, activation, out, adds, parts)
        return
    _, dnorm_w, dnorm_b, dw1, db1, dw2, db2 = out
    n, c = w1.shape
    vectors = 2 * n * c
    gather(t, nt, dw1.reshape(-1), parts, 0)
    gather(t, nt, dw2.reshape(-1), parts, n * c)
    gather(t, nt, db1, parts, vectors)
    gather(t, nt, db2, parts, vectors + n)
    gather(t, nt, dnorm_w, parts, vectors + n + c)
    gather(t, nt, dnorm_b, parts, vectors + n + 2 * c)
