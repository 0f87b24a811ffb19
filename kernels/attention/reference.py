"""Attention in plain NumPy, the score matrix in memory: the specification."""

import math

import numpy as np

from ..common.products import matmul
from ..common.store import store
from ..dropout import reference as dropping


def forward(q, k, v, *, causal, scale=None, dropout=None):
    s = matmul(q, k.swapaxes(-1, -2)) * _scale(q, scale)
    if causal:
        s[..., ~np.tri(q.shape[2], k.shape[2], dtype=bool)] = -np.inf
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    batch, heads, time, _ = q.shape
    o = np.empty((batch, time, heads, v.shape[3]), q.dtype).swapaxes(1, 2)
    matmul(_dropped(p, dropout), v, out=o)
    return o, p


def backward(do, q, k, v, saved, *, causal, scale=None, dropout=None, out=None):
    p = saved
    scale = _scale(q, scale)
    dv = matmul(_dropped(p, dropout).swapaxes(-1, -2), do)
    dp = _dropped(matmul(do, v.swapaxes(-1, -2)), dropout)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) * scale
    dq, dk = matmul(ds, k), matmul(ds.swapaxes(-1, -2), q)
    if out is None:
        return dq, dk, dv
    return tuple(store(value, into) for value, into in zip((dq, dk, dv), out, strict=True))


def _scale(q, scale):
    return 1 / math.sqrt(q.shape[-1]) if scale is None else scale


def _dropped(p, dropout):
    return p if dropout is None else dropping.forward(p, *dropout)
