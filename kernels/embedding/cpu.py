"""Embedding for float32: rows are gathered by ranges of rows, gradients added by ranges of columns, in order of i."""

import numpy as np

from ..common.arrays import finish, integers, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split
from ..common.rows import add, copy, fill


def forward(w, ids):
    w, flat = ready(w, w.shape, "w"), integers(ids)
    y = np.empty((flat.size, w.shape[1]), np.float32)
    _forward(pieces(y.size), w, flat, y)
    return y.reshape(*ids.shape, w.shape[1])


def backward(dy, ids, *, out, accumulate=False):
    flat, c = integers(ids), out.shape[1]
    dy = ready(dy.reshape(-1, c), (flat.size, c), "dy")
    dw = target(out, out.shape, "out")
    _backward(pieces(dy.size + dw.size), dy, flat, dw, bool(accumulate))
    return finish(dw, out)


@parallel
def _forward(t, nt, w, ids, y):
    lo, hi = split(ids.size, t, nt)
    for i in range(lo, hi):
        copy(y[i], w[ids[i]])


@parallel
def _backward(t, nt, dy, ids, dw, accumulate):
    lo, hi = split(dw.shape[1], t, nt)
    if not accumulate:
        for v in range(dw.shape[0]):
            fill(dw[v, lo:hi], 0)
    for i in range(ids.size):
        add(dw[ids[i], lo:hi], dy[i, lo:hi])
