"""SwiGLU for float32, in one pass: see `silu.cpu` for the exponential."""

import numpy as np

from ..common.arrays import ready
from ..common.exp import ONE, fexp
from ..common.jit import parallel
from ..common.pieces import pieces, split
from ..silu.cpu import sigmoid


def forward(a, b):
    y = np.empty(a.shape, np.float32)
    a, b = ready(a, a.shape, "a"), ready(b, a.shape, "b")
    _forward(pieces(a.size), a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return y


def backward(dy, a, b):
    da, db = np.empty(dy.shape, np.float32), np.empty(dy.shape, np.float32)
    dy, a, b = ready(dy, dy.shape, "dy"), ready(a, dy.shape, "a"), ready(b, dy.shape, "b")
    _backward(pieces(a.size), dy.reshape(-1), a.reshape(-1), b.reshape(-1), da.reshape(-1), db.reshape(-1))
    return da, db


@parallel
def _forward(t, nt, a, b, y):
    lo, hi = split(a.size, t, nt)
    a, b, y = a[lo:hi], b[lo:hi], y[lo:hi]
    for i in range(y.size):
        y[i] = a[i] * sigmoid(a[i], fexp(-abs(a[i]))) * b[i]


@parallel
def _backward(t, nt, dy, a, b, da, db):
    lo, hi = split(a.size, t, nt)
    dy, a, b, da, db = dy[lo:hi], a[lo:hi], b[lo:hi], da[lo:hi], db[lo:hi]
    for i in range(da.size):
        e = fexp(-abs(a[i]))
        sigma = sigmoid(a[i], e)
        da[i] = dy[i] * b[i] * (sigma * (ONE + a[i] * sigmoid(-a[i], e)))
        db[i] = dy[i] * (a[i] * sigma)
