"""The affine map and its gradients in plain NumPy: the specification."""

import sys

import numpy as np

from ..common.products import matmul
from ..common.store import store
from ..common.wide import narrow, wide
from ..gelu import reference as gelu
from . import separately


def forward(x, w, b=None, *, activation=None, residual=None):
    z = matmul(wide(x), wide(w).T)
    if b is not None:
        z += b
    if residual is not None:
        z += residual
    if activation == "gelu":
        return narrow(gelu.forward(z), x), narrow(z, x)
    if activation == "relu":
        y = narrow(np.maximum(z, 0), x)
        return y, y
    return narrow(z, x), None


def backward_activation(dy, saved, activation):
    if activation == "gelu":
        return gelu.backward(dy, saved)
    return dy * (saved > 0)


def backward_input(dy, w, *, activation=None, saved=None, out=None, accumulate=False):
    if activation is None and out is not None and not accumulate:
        return matmul(wide(dy), wide(w), out=out)
    dx = matmul(wide(dy), wide(w))
    if activation is not None:
        dx = backward_activation(dx, wide(saved), activation)
    return narrow(dx, dy) if out is None else store(dx, out, accumulate)


def backward_weight(dy, x, *, out=None, accumulate=False, db=None, accumulate_db=False):
    if db is not None:
        store(wide(dy).sum(axis=0), db, accumulate_db)
    if out is not None and not accumulate:
        return matmul(wide(dy).T, wide(x), out=out)
    return store(matmul(wide(dy).T, wide(x)), out, accumulate)


def backward_bias(dy, *, out=None, accumulate=False):
    return store(wide(dy).sum(axis=0), out, accumulate)


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
    undone = activation, saved, below, below_saved
    separately.backward(sys.modules[__name__], dy, x, w, *undone, (dx, dw, db), accumulate)
