"""The affine map and its gradients in plain NumPy: the specification."""

import numpy as np

from ..common.products import matmul
from ..common.store import store
from ..gelu import reference as gelu


def forward(x, w, b=None, *, activation=None, residual=None):
    z = matmul(x, w.T)
    if b is not None:
        z += b
    if residual is not None:
        z += residual
    if activation == "gelu":
        return gelu.forward(z), z
    if activation == "relu":
        y = np.maximum(z, 0)
        return y, y
    return z, None


def backward_activation(dy, saved, activation):
    if activation == "gelu":
        return gelu.backward(dy, saved)
    return dy * (saved > 0)


def backward_input(dy, w, *, out=None, accumulate=False):
    if out is not None and not accumulate:
        return matmul(dy, w, out=out)
    return store(matmul(dy, w), out, accumulate)


def backward_weight(dy, x, *, out=None, accumulate=False):
    if out is not None and not accumulate:
        return matmul(dy.T, x, out=out)
    return store(matmul(dy.T, x), out, accumulate)


def backward_bias(dy, *, out=None, accumulate=False):
    return store(dy.sum(axis=0), out, accumulate)
