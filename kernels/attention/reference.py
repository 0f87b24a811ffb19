"""Attention in plain NumPy, the score matrix in memory: the specification."""

import math

import numpy as np

from ..common.products import matmul
from ..common.store import store
from ..common.wide import narrow, wide
from ..dropout import reference as dropping


def forward(q, k, v, *, causal, scale=None, dropout=None):
    dtype = q.dtype
    q, k, v = wide(q), wide(k), wide(v)
    s = matmul(q, k.swapaxes(-1, -2)) * _scale(q, scale)
    if causal:
        s[..., ~np.tri(q.shape[2], k.shape[2], dtype=bool)] = -np.inf
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    batch, heads, time, _ = q.shape
    o = np.empty((batch, time, heads, v.shape[3]), dtype).swapaxes(1, 2)
    o[...] = matmul(_dropped(p, dropout), v)
    return o, p


def backward(do, q, k, v, saved, *, causal, scale=None, dropout=None, out=None):
    p, given = saved, q
    do, q, k, v = wide(do), wide(q), wide(k), wide(v)
    scale = _scale(q, scale)
    dv = matmul(_dropped(p, dropout).swapaxes(-1, -2), do)
    dp = _dropped(matmul(do, v.swapaxes(-1, -2)), dropout)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) * scale
    dq, dk = matmul(ds, k), matmul(ds.swapaxes(-1, -2), q)
    if out is None:
        return narrow(dq, given), narrow(dk, given), narrow(dv, given)
    return tuple(store(value, into) for value, into in zip((dq, dk, dv), out, strict=True))


def _scale(q, scale):
    return 1 / math.sqrt(q.shape[-1]) if scale is None else scale


def _dropped(p, dropout):
    return p if dropout is None else dropping.forward(p, *dropout)
