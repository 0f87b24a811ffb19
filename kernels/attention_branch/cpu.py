"""The branch for float32: a piece takes its sequences from the norm to the sum, some at a time, in its cache.

The normalised rows never stand in memory: the backward computes them anew.
"""

import math

import numpy as np

from ..attention.cpu import BLOCK as QUERIES
from ..attention.cpu import backward_head, forward_head
from ..common.arrays import finish, ready, target
from ..common.jit import in_stages, jit, parallel
from ..common.row_blocks import (
    BLOCK,
    adds_up,
    begin,
    begin_with,
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
from ..common.rows import sum_rows
from ..common.sgemm import at, gemm
from ..layer_norm.cpu import affine_row, backward_rows, normalise


def suits(x, w):
    return _pieces(x, w) > 0


def forward(x, norm, qkv, proj, *, n_head, causal=True, eps=1e-5):
    batch, time, c = x.shape
    m, nt = batch * time, max(1, _pieces(x, qkv[0]))
    rows, norm = ready(x, x.shape, "x").reshape(m, c), ready_norm(norm, c)
    qkv, proj = ready_affine(qkv, 3 * c, c), ready_affine(proj, c, c)
    y, (mean, rstd) = np.empty(x.shape, np.float32), np.empty((2, m), np.float32)
    packed, o = np.empty((m, 3 * c), np.float32), np.empty((m, c), np.float32)
    saved = mean, rstd, packed, np.empty((m * n_head, time), np.float32), o
    sizes = batch, n_head, bool(causal), 1 / math.sqrt(c // n_head)
    _forward(nt, rows, norm, float(eps), qkv, proj, y.reshape(m, c), saved, sizes)
    return y, saved


def backward(dy, x, saved, norm, qkv, proj, *, n_head, causal=True, out, accumulate=(False,) * 7):
    batch, time, c = x.shape
    nt, m = max(1, _pieces(x, qkv[0])), batch * time
    dy, x, norm = ready(dy, x.shape, "dy"), ready(x, x.shape, "x"), ready_norm(norm, c)
    w, w_proj = ready(qkv[0], (3 * c, c), "the first w"), ready(proj[0], (c, c), "the last w")
    shapes = x.shape, (c,), (c,), (3 * c, c), (3 * c,), (c, c), (c,)
    if m == 0:
        store_sums_of_nothing(out[1:], accumulate[1:])
        return
    given = [target(array, shape, "out") for array, shape in zip(out, shapes, strict=True)]
    adds = tuple([bool(add) for add in accumulate])
    parts = np.empty((nt - 1, 4 * c * c + 6 * c), np.float32)
    sizes = batch, n_head, bool(causal), 1 / math.sqrt(c // n_head)
    _backward(
        *(nt, 0, 2, dy.reshape(m, c), x.reshape(m, c), saved, norm, w, w_proj),
        *((given[0].reshape(m, c), *given[1:]), adds, parts, sizes),
    )
    for written, into in zip(given, out, strict=True):
        finish(written, into)


def _pieces(x, w):
    batch, time, width = x.shape
    return min(row_pieces(batch, time, batch * time * (w.size + width * width)), batch)


@jit
def _sequences(first, stop, time):
    """How many to take at a time: as many as have `BLOCK` rows, in equal parts."""
    most = max(1, BLOCK // time)
    count = max(1, (stop - first + most - 1) // most)
    return max(1, (stop - first + count - 1) // count)


@parallel
def _forward(t, nt, x, norm, eps, qkv, proj, y, saved, sizes):
    (norm_w, norm_b), (w, b), (w_proj, b_proj), (mean, rstd, packed, p, o) = norm, qkv, proj, saved
    batch, heads, causal, scale = sizes
    c, time = x.shape[1], p.shape[1]
    size, wide = c // heads, 3 * c
    first, stop = t * batch // nt, (t + 1) * batch // nt
    some = _sequences(first, stop, time)
    normed = np.empty((some * time, c), np.float32)
    for s in range(first, stop, some):
        last = min(s + some, stop)
        r, e = s * time, last * time
        for i in range(r, e):
            mean[i], rstd[i] = normalise(x[i], norm_w, norm_b, np.float32(eps), normed[i - r])
        begin(packed[r:e], b)
        gemm(False, True, e - r, wide, c, 1, at(normed, 0, 0), c, at(w, 0, 0), c, 1, at(packed, r, 0), wide)
        for i in range(s, last):
            for h in range(heads):
                q = at(packed, i * time, h * size)
                places = (q, wide), (q + 4 * c, wide), (q + 8 * c, wide), (at(o, i * time, h * size), c)
                forward_head(places, p, (i * heads + h) * time, time, size, causal, scale, None, None, None)
        begin_with(y[r:e], x[r:e], b_proj)
        gemm(False, True, e - r, c, c, 1, at(o, r, 0), c, at(w_proj, 0, 0), c, 1, at(y, r, 0), c)


@jit
def _by_sequences(t, nt, dy, x, saved, norm, w, w_proj, out, adds, parts, sizes):
    (mean, rstd, packed, p, o), (norm_w, norm_b) = saved, norm
    dx, dnorm_w, dnorm_b, dw, db, dw_proj, db_proj = out
    batch, heads, causal, scale = sizes
    c, time = x.shape[1], p.shape[1]
    size, wide, vectors = c // heads, 3 * c, 4 * c * c
    to_w, to_proj = matrix_place(t, dw, parts, 0), matrix_place(t, dw_proj, parts, 3 * c * c)
    to_b, to_b_proj = vector_place(t, db, parts, vectors), vector_place(t, db_proj, parts, vectors + wide)
    to_norm_w = vector_place(t, dnorm_w, parts, vectors + wide + c)
    to_norm_b = vector_place(t, dnorm_b, parts, vectors + wide + 2 * c)
    first, stop = t * batch // nt, (t + 1) * batch // nt
    some = _sequences(first, stop, time)
    d, dpacked = np.empty((some * time, c), np.float32), np.empty((some * time, wide), np.float32)
    normed, dp = np.empty((some * time, c), np.float32), np.empty((min(QUERIES, time), time), np.float32)
    for s in range(first, stop, some):
        last = min(s + some, stop)
        r, e, later = s * time, last * time, s > first
        rows = e - r
        gemm(False, False, rows, c, c, 1, at(dy, r, 0), c, at(w_proj, 0, 0), c, 0, at(d, 0, 0), c)
        beta = 1 if adds_up(t, later, adds[5]) else 0
        gemm(True, False, c, c, rows, 1, at(dy, r, 0), c, at(o, r, 0), c, beta, to_proj, c)
        sum_rows(dy[r:e], 0, c, to_b_proj, adds_up(t, later, adds[6]))
        for i in range(s, last):
            for h in range(heads):
                q, here = at(packed, i * time, h * size), i * time - r
                dq = at(dpacked, here, h * size)
                read = (at(d, here, h * size), c), (q, wide), (q + 4 * c, wide), (q + 8 * c, wide)
                written = (dq, wide), (dq + 4 * c, wide), (dq + 8 * c, wide)
                start = (i * heads + h) * time
                backward_head(read, written, p, dp, start, time, size, causal, scale, None, None, None)
        for i in range(rows):
            affine_row(x[r + i], norm_w, norm_b, mean[r + i], rstd[r + i], normed[i])
        beta = 1 if adds_up(t, later, adds[3]) else 0
        gemm(True, False, wide, c, rows, 1, at(dpacked, 0, 0), wide, at(normed, 0, 0), c, beta, to_w, c)
        sum_rows(dpacked[:rows], 0, wide, to_b, adds_up(t, later, adds[4]))
        # (The gradient of the heads has been used: that of the normalised rows takes its place.)
        gemm(False, False, rows, c, wide, 1, at(dpacked, 0, 0), wide, at(w, 0, 0), c, 0, at(d, 0, 0), c)
        pass_on(dy[r:e], dx[r:e], adds[0])
        clear(to_norm_w, adds_up(t, later, adds[1]))
        clear(to_norm_b, adds_up(t, later, adds[2]))
        backward_rows(d[:rows], x[r:e], norm_w, mean[r:e], rstd[r:e], dx[r:e], True, to_norm_w, to_norm_b)


@in_stages
def _backward(t, nt, stage, dy, x, saved, norm, w, w_proj, out, adds, parts, sizes):
    if stage == 0:
        _by_sequences(t, nt, dy, x, saved, norm, w, w_proj, out, adds, parts, sizes)
        return
    _, dnorm_w, dnorm_b, dw, db, dw_proj, db_proj = out
    c = x.shape[1]
    vectors = 4 * c * c
    gather(t, nt, dw.reshape(-1), parts, 0)
    gather(t, nt, dw_proj.reshape(-1), parts, 3 * c * c)
    gather(t, nt, db, parts, vectors)
    gather(t, nt, db_proj, parts, vectors + 3 * c)
    gather(t, nt, dnorm_w, parts, vectors + 4 * c)
    gather(t, nt, dnorm_b, parts, vectors + 5 * c)
