"""Root mean square normalisation for float32: a row is read from memory once, then worked on in the cache."""

import numpy as np

from ..common.arrays import NONE2, check_target, finish, ready, target
from ..common.jit import jit, parallel
from ..common.pieces import pieces, split
from ..common.rows import SUMMED, add, fill
from ..common.store import store

ONE, ZERO = np.float32(1), np.float32(0)


def forward(x, w=None, *, eps=1e-6):
    m, n = x.shape
    x = ready(x, (m, n), "x")
    w = np.ones(n, np.float32) if w is None else ready(w, (n,), "w")
    y, rstd = np.empty((m, n), np.float32), np.empty(m, np.float32)
    _forward(pieces(x.size), x, w, float(eps), y, rstd)
    return y, rstd


def backward(dy, x, w, rstd, *, dx=None, dw=None, accumulate=(False, False)):
    m, n = dy.shape
    dy, x, rstd = ready(dy, (m, n), "dy"), ready(x, (m, n), "x"), ready(rstd, (m,), "rstd")
    w = np.ones(n, np.float32) if w is None else ready(w, (n,), "w")
    into = NONE2 if dx is None else target(dx, (m, n), "dx")
    if dw is not None:
        check_target(dw, (n,), "dw")
    nt = pieces(x.size)
    sums = np.zeros((nt, n if dw is not None else 0), np.float32)
    _backward(nt, dy, x, w, rstd, into, bool(accumulate[0]), sums)
    if dx is not None:
        finish(into, dx)
    if dw is not None:
        store(sums.sum(axis=0), dw, accumulate[1])


@parallel
def _forward(t, nt, x, w, eps, y, rstd):
    lo, hi = split(x.shape[0], t, nt)
    for i in range(lo, hi):
        rstd[i] = _normalise(x[i], w, np.float32(eps), y[i])


@jit
def _normalise(x, w, eps, y):
    total = ZERO
    for j in range(x.size):
        total += x[j] * x[j]
    rstd = ONE / np.sqrt(total / np.float32(x.size) + eps)
    for j in range(x.size):
        y[j] = x[j] * rstd * w[j]
    return rstd


@parallel
def _backward(t, nt, dy, x, w, rstd, dx, accumulate, sums):
    lo, hi = split(dy.shape[0], t, nt)
    dw = np.empty(sums.shape[1], np.float32)
    for r in range(lo, hi, SUMMED):
        fill(dw, 0)
        for i in range(r, min(r + SUMMED, hi)):
            if dx.size > 0:
                _input_row(dy[i], x[i], w, rstd[i], dx[i], accumulate)
            if dw.size > 0:
                _parameter_row(dy[i], x[i], rstd[i], dw)
        add(sums[t], dw)


@jit
def _input_row(dy, x, w, rstd, dx, accumulate):
    along = ZERO
    for j in range(x.size):
        along += dy[j] * w[j] * (x[j] * rstd)
    along = along / np.float32(x.size)
    for j in range(x.size):
        value = (dy[j] * w[j] - x[j] * rstd * along) * rstd
        dx[j] = dx[j] + value if accumulate else value


@jit
def _parameter_row(dy, x, rstd, dw):
    for j in range(x.size):
        dw[j] += dy[j] * (x[j] * rstd)
