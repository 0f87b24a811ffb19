"""The affine map for float32: sgemm on ranges of rows, and what follows it while those rows are in the cache."""

import sys

import numpy as np

from ..common.arrays import NONE1, NONE2, finish, ready, target
from ..common.exp import ONE, ZERO
from ..common.jit import in_stages, jit, parallel
from ..common.pieces import PRODUCTS, pieces, region, split
from ..common.rows import add, copy, sum_rows
from ..common.sgemm import at, gemm
from ..gelu import cpu as gelu
from . import separately

PLAIN, RELU, GELU = 0, 1, 2
CODES = {None: PLAIN, "relu": RELU, "gelu": GELU}

BLOCK = 512  # rows that sgemm and the passes round it take at a time


def forward(x, w, b=None, *, activation=None, residual=None):
    (m, k), n = x.shape, w.shape[0]
    x, w = ready(x, (m, k), "x"), ready(w, (n, k), "w")
    b = NONE1 if b is None else ready(b, (n,), "b")
    residual = NONE2 if residual is None else ready(residual, (m, n), "residual")
    code = CODES[activation]
    z = np.empty((m, n), np.float32)
    y = np.empty((m, n), np.float32) if code == GELU else z
    _forward(pieces(m * n * k, PRODUCTS), x, w, b, residual, z, y, code)
    return y, None if code == PLAIN else z


def backward_activation(dy, saved, activation):
    if activation == "gelu":
        return gelu.backward(dy, saved)
    dz = np.empty(dy.shape, np.float32)
    dy, saved = ready(dy, dy.shape, "dy"), ready(saved, dy.shape, "saved")
    _backward_relu(pieces(dz.size), dy.reshape(-1), saved.reshape(-1), dz.reshape(-1))
    return dz


def backward_input(dy, w, *, activation=None, saved=None, out=None, accumulate=False):
    (m, n), k = dy.shape, w.shape[1]
    dy, w = ready(dy, (m, n), "dy"), ready(w, (n, k), "w")
    saved = NONE2 if activation is None else ready(saved, (m, k), "saved")
    dx = target(out, (m, k), "out")
    add = out is not None and bool(accumulate)
    _backward_input(pieces(m * n * k, PRODUCTS), dy, w, saved, dx, CODES[activation], add)
    return finish(dx, out)


def backward_weight(dy, x, *, out=None, accumulate=False, db=None, accumulate_db=False):
    (m, n), k = dy.shape, x.shape[1]
    dy, x = ready(dy, (m, n), "dy"), ready(x, (m, k), "x")
    dw = target(out, (n, k), "out")
    sums = NONE1 if db is None else target(db, (n,), "db")
    add = out is not None and bool(accumulate)
    _backward_weight(pieces(m * n * k, PRODUCTS), dy, x, dw, add, sums, bool(accumulate_db))
    if db is not None:
        finish(sums, db)
    return finish(dw, out)


def backward_bias(dy, *, out=None, accumulate=False):
    dy = ready(dy, dy.shape, "dy")
    db = target(out, dy.shape[1:], "out")
    _backward_bias(pieces(dy.size), dy, db, out is not None and bool(accumulate))
    return finish(db, out)


def backward(
    dy,
    x,
    w,
    *,
    activation=None,
    saved=None,
    below=None,
    below_saved=None,
    dx=None,
    dw=None,
    db=None,
    accumulate=(False, False, False),
):
    if dx is None and dw is None:
        undone = activation, saved, below, below_saved
        separately.backward(sys.modules[__name__], dy, x, w, *undone, (dx, dw, db), accumulate)
        return
    (m, n), k = dy.shape, (w if x is None else x).shape[1]
    dy = ready(dy, (m, n), "dy")
    x = NONE2 if x is None else ready(x, (m, k), "x")
    w = NONE2 if w is None else ready(w, (n, k), "w")
    dz = NONE2 if activation is None else np.empty((m, n), np.float32)
    saved = NONE2 if activation is None else ready(saved, (m, n), "saved")
    below_saved = NONE2 if below is None else ready(below_saved, (m, k), "below_saved")
    to_x = NONE2 if dx is None else target(dx, (m, k), "dx")
    to_w = NONE2 if dw is None else target(dw, (n, k), "dw")
    to_b = NONE1 if db is None else target(db, (n,), "db")
    add_x, add_w, add_b = accumulate
    _backward(
        *(pieces(m * n * k, PRODUCTS), 0 if activation is not None else 1, 2),
        *(dy, x, w, saved, dz, CODES[activation], below_saved, CODES[below], to_x, to_w, to_b),
        *(dx is not None, dw is not None, bool(add_x), bool(add_w), bool(add_b)),
    )
    finish(to_x, dx)
    finish(to_w, dw)
    finish(to_b, db)


@parallel
def _forward(t, nt, x, w, b, residual, z, y, activation):
    forward_part(t, nt, x, w, b, residual, z, y, activation)


@jit
def forward_part(t, nt, x, w, b, residual, z, y, activation):
    """Piece t's part of z = X·Wᵀ + b + residual, and of y = act(z): y and z are one array where the activation is not
    gelu. Empty arrays stand for no b and no residual."""
    n, k = w.shape
    r0, r1, c0, c1 = region(x.shape[0], n, t, nt)
    begun = b.size > 0 or residual.size > 0
    for r in range(r0, r1, BLOCK):
        e = min(r + BLOCK, r1)
        if begun:
            _start(z, b, residual, r, e, c0, c1)
        gemm(False, True, e - r, c1 - c0, k, 1, at(x, r, 0), k, at(w, c0, 0), k, 1 if begun else 0, at(z, r, c0), n)
        if activation == GELU:
            _gelu(z, y, r, e, c0, c1)
        elif activation == RELU:
            _relu(z, r, e, c0, c1)


@jit
def _start(z, b, residual, r0, r1, c0, c1):
    for i in range(r0, r1):
        row = z[i, c0:c1]
        if residual.size == 0:
            copy(row, b[c0:c1])
        else:
            copy(row, residual[i, c0:c1])
            if b.size > 0:
                add(row, b[c0:c1])


@jit
def _gelu(z, y, r0, r1, c0, c1):
    for i in range(r0, r1):
        gelu.forward_row(z[i, c0:c1], y[i, c0:c1])


@jit
def _relu(z, r0, r1, c0, c1):
    zero = np.float32(0)
    for i in range(r0, r1):
        row = z[i, c0:c1]
        for j in range(row.size):
            row[j] = zero if row[j] < zero else row[j]  # NaN stays


@parallel
def _backward_relu(t, nt, dy, y, dz):
    lo, hi = split(dy.size, t, nt)
    dy, y, dz = dy[lo:hi], y[lo:hi], dz[lo:hi]
    for i in range(dz.size):
        dz[i] = dy[i] * relu_slope(y[i])


@jit
def relu_slope(y):
    return ONE if y > ZERO else ZERO


@parallel
def _backward_input(t, nt, dy, w, saved, dx, activation, accumulate):
    _input_part(t, nt, dy, w, saved, dx, activation, accumulate)


@jit
def _input_part(t, nt, dy, w, saved, dx, activation, accumulate):
    n, k = w.shape
    r0, r1, c0, c1 = region(dy.shape[0], k, t, nt)
    if activation == PLAIN:
        beta = 1 if accumulate else 0
        gemm(False, False, r1 - r0, c1 - c0, n, 1, at(dy, r0, 0), n, at(w, 0, c0), k, beta, at(dx, r0, c0), k)
        return
    # Where dx is added to, the product has a place of its own until it is whole.
    product = np.empty((min(BLOCK, r1 - r0) if accumulate else 0, k), np.float32)
    for r in range(r0, r1, BLOCK):
        e = min(r + BLOCK, r1)
        to, first = (product, 0) if accumulate else (dx, r)
        gemm(False, False, e - r, c1 - c0, n, 1, at(dy, r, 0), n, at(w, 0, c0), k, 0, at(to, first, c0), k)
        for i in range(e - r):
            row = to[first + i, c0:c1]
            _undo(row, saved[r + i, c0:c1], activation)
            if accumulate:
                add(dx[r + i, c0:c1], row)


@jit
def _undo(row, saved, activation):
    """Multiply by the activation's slope, from what its forward saved.

    (One array is read and written: through two views of one, LLVM does not vectorise, and gelu takes eight times as
    long.)
    """
    if activation == GELU:
        for j in range(row.size):
            row[j] *= gelu.slope(saved[j])
    else:
        for j in range(row.size):
            row[j] *= relu_slope(saved[j])


@parallel
def _backward_weight(t, nt, dy, x, dw, accumulate, db, accumulate_db):
    _weight_part(t, nt, dy, x, dw, accumulate)
    lo, hi = split(db.size, t, nt)
    sum_rows(dy, lo, hi, db, accumulate_db)


@jit
def _weight_part(t, nt, dy, x, dw, accumulate):
    n, k = dw.shape
    r0, r1, c0, c1 = region(n, k, t, nt)
    beta = 1 if accumulate else 0
    gemm(True, False, r1 - r0, c1 - c0, dy.shape[0], 1, at(dy, 0, r0), n, at(x, 0, c0), k, beta, at(dw, r0, c0), k)


@in_stages
def _backward(
    t, nt, stage, dy, x, w, saved, dz, activation, below_saved, below, dx, dw, db, wants_x, wants_w, add_x, add_w, add_b
):
    if stage == 0:
        lo, hi = split(dy.shape[0], t, nt)
        for i in range(lo, hi):
            copy(dz[i], dy[i])
            _undo(dz[i], saved[i], activation)
        return
    d = dy if activation == PLAIN else dz
    backward_part(t, nt, d, x, w, below_saved, below, dx, dw, db, wants_x, wants_w, add_x, add_w, add_b)


@jit
def backward_part(t, nt, dy, x, w, below_saved, below, dx, dw, db, wants_x, wants_w, add_x, add_w, add_b):
    """Piece t's part of dX, dW and db, where they are wanted; db is, unless it is empty."""
    if wants_x:
        _input_part(t, nt, dy, w, below_saved, dx, below, add_x)
    if wants_w:
        _weight_part(t, nt, dy, x, dw, add_w)
    lo, hi = split(db.size, t, nt)
    sum_rows(dy, lo, hi, db, add_b)


@parallel
def _backward_bias(t, nt, dy, db, accumulate):
    lo, hi = split(db.size, t, nt)
    sum_rows(dy, lo, hi, db, accumulate)
