"""Layer normalisation for float32: a row is read from memory once, then worked on in the cache."""

import numpy as np

from ..common.arrays import NONE2, check_target, finish, ready, target
from ..common.jit import jit, parallel
from ..common.pieces import pieces, split
from ..common.rows import SUMMED, add, fill
from ..common.store import store

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
    into = NONE2 if dx is None else target(dx, (m, n), "dx")
    for name, out in (("dw", dw), ("db", db)):
        if out is not None:
            check_target(out, (n,), name)
    nt = pieces(x.size)
    sums = np.zeros((nt, 2, n if dw is not None or db is not None else 0), np.float32)
    _backward(nt, dy, x, w, mean, rstd, into, bool(accumulate[0]), sums)
    if dx is not None:
        finish(into, dx)
    if dw is not None:
        store(sums[:, 0].sum(axis=0), dw, accumulate[1])
    if db is not None:
        store(sums[:, 1].sum(axis=0), db, accumulate[2])


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


@parallel
def _backward(t, nt, dy, x, w, mean, rstd, dx, accumulate, sums):
    lo, hi = split(dy.shape[0], t, nt)
    into = dx[lo:hi] if dx.size > 0 else dx
    backward_rows(dy[lo:hi], x[lo:hi], w, mean[lo:hi], rstd[lo:hi], into, accumulate, sums[t, 0], sums[t, 1])


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
