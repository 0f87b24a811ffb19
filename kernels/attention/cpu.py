"""Attention for float32, in place: q, k and v are read by stride, their gradients written by stride.

A head at a time, in blocks of query rows: a block's scores (sgemm), its softmax while the scores are in the cache, its
output (sgemm). A causal block stops at its last visible key, which halves the work. P is kept for the backward; what
lies right of a block's last visible key is never written or read. Forward and backward of (4, 6, 256, 64) take 2.0 and
3.7 ms on two cores (2.5 and 4.7 with dropout), the NumPy reference 12 and 14.
"""

import math

import numpy as np

from ..common import blas
from ..common.arrays import check, check_target, finish, plain
from ..common.exp import ONE, ZERO, fexp
from ..common.jit import jit, parallel_with_sgemm
from ..common.pieces import PRODUCTS, pieces
from ..common.rows import fill, largest
from ..common.sgemm import at, gemm
from ..dropout.cpu import drop, settings
from ..philox.cpu import fill_bits
from . import reference

BLOCK = 64  # query rows at a time
NO_DROPOUT = (0, 1.0, 0, 0, 0, 0)


def forward(q, k, v, *, causal, scale=None, dropout=None):
    if not blas.usable():
        return reference.forward(q, k, v, causal=causal, scale=scale, dropout=dropout)
    batch, heads, time, size = q.shape
    keys = _number_of_keys(q, k, v, causal)
    q, k, v = _readable(q), _readable(k), _readable(v)
    p = np.empty((batch * heads * time, keys), np.float32)
    o = np.empty((batch, time, heads, size), np.float32).swapaxes(1, 2)
    if o.size == 0:
        return o, p
    _forward(
        _pieces(p, size, batch * heads),
        *(*_layout(q), *_layout(k), *_layout(v), *_layout(o), p),
        *(
            heads,
            time,
            size,
            bool(causal),
            _scale(size, scale),
            *(settings(*dropout) if dropout else NO_DROPOUT),
        ),
    )
    return o, p


def backward(do, q, k, v, saved, *, causal, scale=None, dropout=None, out=None):
    if not blas.usable():
        return reference.backward(do, q, k, v, saved, causal=causal, scale=scale, dropout=dropout, out=out)
    batch, heads, time, size = q.shape
    _number_of_keys(q, k, v, causal)
    check(do, q.shape, "do")
    do, q, k, v = _readable(do), _readable(q), _readable(k), _readable(v)
    out = (None, None, None) if out is None else out
    grads = [_writable(array, into) for array, into in zip((q, k, v), out, strict=True)]
    if do.size == 0:  # no query: nothing reaches the keys
        grads[1][...] = grads[2][...] = 0
        return _finished(grads, out)
    dq, dk, dv = grads
    _backward(
        _pieces(saved, size, batch * heads),
        *(*_layout(do), *_layout(q), *_layout(k), *_layout(v), *_layout(dq), *_layout(dk), *_layout(dv), saved),
        *(
            heads,
            time,
            size,
            bool(causal),
            _scale(size, scale),
            *(settings(*dropout) if dropout else NO_DROPOUT),
        ),
    )
    return _finished(grads, out)


def _finished(grads, out):
    return tuple([finish(grad, into) for grad, into in zip(grads, out, strict=True)])


def _number_of_keys(q, k, v, causal):
    """S, having checked the shapes: nothing in the kernels does."""
    batch, heads, time, size = q.shape
    keys = k.shape[2]
    check(q, q.shape, "q")
    check(k, (batch, heads, keys, size), "k")
    check(v, (batch, heads, keys, size), "v")
    if keys == 0:
        raise ValueError(f"attention needs at least one key, got k of shape {k.shape}")
    if causal and time != keys:
        raise ValueError(f"causal attention wants as many keys as queries, got {time} queries and {keys} keys")
    return keys


def _pieces(p, size, heads):
    return min(pieces(p.size * size, PRODUCTS), heads)


def _scale(size, scale):
    return 1 / math.sqrt(size) if scale is None else float(scale)


def _readable(array):
    """``array`` itself where its rows can be read by stride, else a copy; never read-only."""
    row, element = array.strides[2:]
    size = array.shape[3]
    if row < 4 * size or (element != 4 and size != 1) or not array.flags.aligned:
        return np.array(array, order="C", subok=False)
    return array if array.flags.writeable and type(array) is np.ndarray else plain(array)


def _writable(like, out):
    """The array for the gradient of ``like``: ``out`` where it can be written by stride, else a new one."""
    if out is not None:
        check_target(out, like.shape, "an array of out")
        if _readable(out) is out:
            return out
    return np.empty_like(like, subok=False)


def _layout(array):
    """The first row, and how many bytes lie between batches, heads and rows: all that a kernel needs to know.

    Passed in place of the array, whose every other memory layout would be compiled anew. (The row stands for the
    address, which takes NumPy 1 µs to tell, and compiled code nothing.)
    """
    return array[0, 0, 0], array.strides


@parallel_with_sgemm
def _forward(
    t,
    nt,
    q,
    by_q,
    k,
    by_k,
    v,
    by_v,
    o,
    by_o,
    p,
    heads,
    time,
    size,
    causal,
    scale,
    threshold,
    factor,
    key0,
    key1,
    call_low,
    call_high,
):
    rows, keys = p.shape
    row_q, row_k, row_v, row_o = by_q[2] // 4, by_k[2] // 4, by_v[2] // 4, by_o[2] // 4
    words, dropped = _room(keys, threshold)
    for i in range(t * (rows // time) // nt, (t + 1) * (rows // time) // nt):
        b, h = i // heads, i % heads
        q_, k_, v_, o_ = _head(q, by_q, b, h), _head(k, by_k, b, h), _head(v, by_v, b, h), _head(o, by_o, b, h)
        for r in range(0, time, BLOCK):
            e = min(r + BLOCK, time)
            n, first = e if causal else keys, i * time + r  # the keys of this block, and its first row of p
            gemm(False, True, e - r, n, size, scale, q_ + r * by_q[2], row_q, k_, row_k, 0, at(p, first, 0), keys)
            for u in range(e - r):
                _softmax(p[first + u, :n], r + u + 1 if causal else n)
            weights = at(p, first, 0)
            if threshold > 0:
                fill_bits(words[: (e - r) * keys], first * keys, key0, key1, call_low, call_high)
                for u in range(e - r):
                    drop(p[first + u, :n], words[u * keys :], threshold, factor, dropped[u])
                weights = at(dropped, 0, 0)
            gemm(False, False, e - r, size, n, 1, weights, keys, v_, row_v, 0, o_ + r * by_o[2], row_o)


@parallel_with_sgemm
def _backward(
    t,
    nt,
    do,
    by_do,
    q,
    by_q,
    k,
    by_k,
    v,
    by_v,
    dq,
    by_dq,
    dk,
    by_dk,
    dv,
    by_dv,
    p,
    heads,
    time,
    size,
    causal,
    scale,
    threshold,
    factor,
    key0,
    key1,
    call_low,
    call_high,
):
    rows, keys = p.shape
    words, dropped = _room(keys, threshold)
    dp = np.empty((BLOCK, keys), np.float32)
    row_do, row_q, row_k, row_v = by_do[2] // 4, by_q[2] // 4, by_k[2] // 4, by_v[2] // 4
    row_dq, row_dk, row_dv = by_dq[2] // 4, by_dk[2] // 4, by_dv[2] // 4
    blocks = (time + BLOCK - 1) // BLOCK
    for i in range(t * (rows // time) // nt, (t + 1) * (rows // time) // nt):
        b, h = i // heads, i % heads
        do_, q_, k_, v_ = _head(do, by_do, b, h), _head(q, by_q, b, h), _head(k, by_k, b, h), _head(v, by_v, b, h)
        dq_, dk_, dv_ = _head(dq, by_dq, b, h), _head(dk, by_dk, b, h), _head(dv, by_dv, b, h)
        for block in range(blocks - 1, -1, -1):  # the last sees every key: it begins the sums over queries
            r, e = block * BLOCK, min((block + 1) * BLOCK, time)
            n, first, beta = e if causal else keys, i * time + r, 0 if block == blocks - 1 else 1
            do_r, q_r, dq_r = do_ + r * by_do[2], q_ + r * by_q[2], dq_ + r * by_dq[2]
            gemm(False, True, e - r, n, size, 1, do_r, row_do, v_, row_v, 0, at(dp, 0, 0), keys)
            weights = at(p, first, 0)
            if threshold > 0:
                fill_bits(words[: (e - r) * keys], first * keys, key0, key1, call_low, call_high)
                for u in range(e - r):
                    drop(p[first + u, :n], words[u * keys :], threshold, factor, dropped[u])
                    drop(dp[u, :n], words[u * keys :], threshold, factor, dp[u])
                weights = at(dropped, 0, 0)
            gemm(True, False, n, size, e - r, 1, weights, keys, do_r, row_do, beta, dv_, row_dv)
            for u in range(e - r):
                _softmax_backward(p[first + u], dp[u, :n], r + u + 1 if causal else n, np.float32(scale))
            gemm(False, False, e - r, size, n, 1, at(dp, 0, 0), keys, k_, row_k, 0, dq_r, row_dq)
            gemm(True, False, n, size, e - r, 1, at(dp, 0, 0), keys, q_r, row_q, beta, dk_, row_dk)


@jit
def _room(keys, threshold):
    """Where a block's random words and its dropped weights go; empty without dropout."""
    rows = BLOCK if threshold > 0 else 0
    return np.empty(rows * keys, np.uint32), np.empty((rows, keys), np.float32)


@jit
def _head(first, strides, b, h):
    """The address of the rows of head h of batch entry b."""
    return first.ctypes.data + b * strides[0] + h * strides[1]


@jit
def _softmax(row, n):
    """Over the first n elements; the rest, which may not be seen, becomes 0."""
    top, total = largest(row, n), ZERO
    for j in range(n):
        e = fexp(row[j] - top)
        row[j] = e
        total += e
    factor = ONE / total
    for j in range(n):
        row[j] *= factor
    fill(row[n:], 0)


@jit
def _softmax_backward(p, d, n, scale):
    """d ← scale · p ⊙ (d − Σ d ⊙ p) over the first n elements, and 0 beyond."""
    total = ZERO
    for j in range(n):
        total += p[j] * d[j]
    for j in range(n):
        d[j] = p[j] * (d[j] - total) * scale
    fill(d[n:], 0)
