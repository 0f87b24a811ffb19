"""Layer normalisation for float32: a row is read from memory once, then worked on in the cache."""

import numpy as np

from ..common.arrays import NONE1, NONE2, finish, ready, target
from ..common.jit import in_stages, jit, parallel
from ..common.pieces import pieces, split
from ..common.rows import SUMMED, add, copy, fill

ONE, ZERO = np.float32(1), np.float32(0)


def forward(x, w=None, b=None, *, eps=1e-5):
    m, n = x.shape
    x = ready(x, (m, n), "x")
    w = np.ones(n, np.float32) if w is None else ready(w, (n,), "w")
    b = np.zeros(n, np.float32) if b is None else ready(b, (n,), "b")
    y, mean, rstd = np.empty((m, n), np.float32), np.empty(m, np.float32), np.empty(m, np.float32)
    _forward(pieces(x.size), x, w, b, float(eps), y, mean, rstd)
    return y, mean, rstd


def backward(dy, x, w, mean, rstd, *, dx=None, dw=None, db=None, accumulate=(False, False, False)):
    m, n = dy.shape
    dy, x = ready(dy, (m, n), "dy"), ready(x, (m, n), "x")
    w = np.ones(n, np.float32) if w is None else ready(w, (n,), "w")
    mean, rstd = ready(mean, (m,), "mean"), ready(rstd, (m,), "rstd")
    to_x = NONE2 if dx is None else target(dx, (m, n), "dx")
    to_w = NONE1 if dw is None else target(dw, (n,), "dw")
    to_b = NONE1 if db is None else target(db, (n,), "db")
    nt, (add_x, add_w, add_b) = pieces(x.size), accumulate
    sums = np.zeros((nt, 2, n if dw is not None or db is not None else 0), np.float32)
    _backward(nt, 0, 2, dy, x, w, mean, rstd, to_x, to_w, to_b, bool(add_x), bool(add_w), bool(add_b), sums)
    finish(to_x, dx)
    finish(to_w, dw)
    finish(to_b, db)


@parallel
def _forward(t, nt, x, w, b, eps, y, mean, rstd):
    lo, hi = split(x.shape[0], t, nt)
    for i in range(lo, hi):
        mean[i], rstd[i] = normalise(x[i], w, b, np.float32(eps), y[i])


@jit
def normalise(x, w, b, eps, y):
    n = np.float32(x.size)
    total = ZERO
    for j in range(x.size):
        total += x[j]
    mean = total / n
    total = ZERO
    for j in range(x.size):
        centred = x[j] - mean
        total += centred * centred
    rstd = ONE / np.sqrt(total / n + eps)
    affine_row(x, w, b, mean, rstd, y)
    return mean, rstd


@jit
def affine_row(x, w, b, mean, rstd, y):
    for j in range(x.size):
        y[j] = (x[j] - mean) * rstd * w[j] + b[j]


@in_stages
def _backward(t, nt, stage, dy, x, w, mean, rstd, dx, dw, db, add_x, add_w, add_b, sums):
    """dX, and what the piece's rows add to dw and db, ``sums[t]``; then the piece's part of dw and db."""
    if stage == 0:
        lo, hi = split(dy.shape[0], t, nt)
        into = dx[lo:hi] if dx.size > 0 else dx
        backward_rows(dy[lo:hi], x[lo:hi], w, mean[lo:hi], rstd[lo:hi], into, add_x, sums[t, 0], sums[t, 1])
        return
    lo, hi = split(sums.shape[2], t, nt)
    _total(sums[:, 0, lo:hi], dw[lo:hi], add_w)
    _total(sums[:, 1, lo:hi], db[lo:hi], add_b)


@jit
def _total(sums, out, accumulate):
    """The sum of the rows in their order, into ``out`` or on top of it; ``out`` is empty where it is not wanted."""
    total = sums[0]
    for part in range(1, sums.shape[0]):
        add(total, sums[part])
    if out.size > 0:
        if accumulate:
            add(out, total)
        else:
            copy(out, total)


@jit
def backward_rows(dy, x, w, mean, rstd, dx, accumulate, dw, db):
    """dx of these rows, where it is not empty; dw and db of them on top of what is there, where dw is not empty."""
    n = dw.size
    part_w, part_b = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(0, dy.shape[0], SUMMED):
        fill(part_w, 0)
        fill(part_b, 0)
        for i in range(r, min(r + SUMMED, dy.shape[0])):
            if dx.size > 0:
                input_row(dy[i], x[i], w, mean[i], rstd[i], dx[i], accumulate)
            if n > 0:
                parameter_row(dy[i], x[i], mean[i], rstd[i], part_w, part_b)
        add(dw, part_w)
        add(db, part_b)


@jit
def input_row(dy, x, w, mean, rstd, dx, accumulate):
    n = np.float32(x.size)
    along_one, along_normed = ZERO, ZERO
    for j in range(x.size):
        d = dy[j] * w[j]
        along_one += d
        along_normed += d * ((x[j] - mean) * rstd)
    along_one, along_normed = along_one / n, along_normed / n
    for j in range(x.size):
        normed = (x[j] - mean) * rstd
        value = (dy[j] * w[j] - along_one - normed * along_normed) * rstd
        dx[j] = dx[j] + value if accumulate else value


@jit
def parameter_row(dy, x, mean, rstd, dw, db):
    for j in range(x.size):
        dw[j] += dy[j] * ((x[j] - mean) * rstd)
        db[j] += dy[j]
