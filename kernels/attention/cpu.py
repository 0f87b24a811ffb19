"""Attention for float32, in place: q, k and v are read by stride, their gradients written by stride.

A head at a time, in blocks of query rows: a block's scores (sgemm), its softmax while the scores are in the cache, its
output (sgemm). A causal block stops at its last visible key, which halves the work. P is kept for the backward; what
lies right of a block's last visible key is never written or read. Forward and backward of (4, 6, 256, 64) take 2.0 and
3.7 ms on two cores (2.5 and 4.7 with dropout), the NumPy reference 12 and 14.
"""

import math

import numpy as np

from ..common.arrays import check, check_target, finish, plain
from ..common.exp import ONE, ZERO, fexp
from ..common.jit import jit, parallel
from ..common.pieces import PRODUCTS, pieces
from ..common.rows import fill, largest
from ..common.sgemm import at, gemm
from ..dropout.cpu import drop, settings
from ..philox.cpu import fill_bits

BLOCK = 32  # query rows at a time: with 64, which leave out less of what may not be seen, a branch took 2 to 4 % longer
NO_DROPOUT = (0, 1.0, 0, 0, 0, 0)


def forward(q, k, v, *, causal, scale=None, dropout=None):
    batch, heads, time, size = q.shape
    keys = _number_of_keys(q, k, v, causal)
    q, k, v = _readable(q), _readable(k), _readable(v)
    p = np.empty((batch * heads * time, keys), np.float32)
    o = np.empty((batch, time, heads, size), np.float32).swapaxes(1, 2)
    if o.size == 0:
        return o, p
    sizes, drops = _sizes(q, causal, scale), settings(*dropout) if dropout else NO_DROPOUT
    _forward(_pieces(p, size, batch * heads), _layout(q), _layout(k), _layout(v), _layout(o), p, sizes, drops)
    return o, p


def backward(do, q, k, v, saved, *, causal, scale=None, dropout=None, out=None):
    batch, heads, _, size = q.shape
    _number_of_keys(q, k, v, causal)
    check(do, q.shape, "do")
    do, q, k, v = _readable(do), _readable(q), _readable(k), _readable(v)
    out = (None, None, None) if out is None else out
    grads = [_writable(array, into) for array, into in zip((q, k, v), out, strict=True)]
    if do.size == 0:  # no query: nothing reaches the keys
        grads[1][...] = grads[2][...] = 0
        return _finished(grads, out)
    sizes, drops = _sizes(q, causal, scale), settings(*dropout) if dropout else NO_DROPOUT
    read, written = tuple(map(_layout, (do, q, k, v))), tuple(map(_layout, grads))
    _backward(_pieces(saved, size, batch * heads), read, written, saved, sizes, drops)
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


def _sizes(q, causal, scale):
    _, heads, time, size = q.shape
    return heads, time, size, bool(causal), 1 / math.sqrt(size) if scale is None else float(scale)


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


@parallel
def _forward(t, nt, q, k, v, o, p, sizes, drops):
    heads, time, size, causal, scale = sizes
    rows, keys = p.shape
    words, dropped = _room(keys, drops[0])
    for i in range(t * (rows // time) // nt, (t + 1) * (rows // time) // nt):
        b, h = i // heads, i % heads
        places = _head(q, b, h), _head(k, b, h), _head(v, b, h), _head(o, b, h)
        forward_head(places, p, i * time, time, size, causal, scale, words, dropped, drops)


@jit
def forward_head(places, p, start, time, size, causal, scale, words, dropped, drops):
    """One head: ``places`` are the addresses of the first rows of q, k, v and o, each with the elements from one row to
    the next; its weights become the rows of p from ``start`` on. (With None for ``drops``, no dropout is compiled.)"""
    (q, q_row), (k, k_row), (v, v_row), (o, o_row) = places
    keys = p.shape[1]
    for r in range(0, time, BLOCK):
        e = min(r + BLOCK, time)
        n, first = e if causal else keys, start + r  # the keys of this block, and its first row of p
        gemm(False, True, e - r, n, size, scale, q + 4 * r * q_row, q_row, k, k_row, 0, at(p, first, 0), keys)
        for u in range(e - r):
            _softmax(p[first + u, :n], r + u + 1 if causal else n)
        weights = at(p, first, 0)
        if drops is not None:
            threshold, factor, key0, key1, call_low, call_high = drops
            if threshold > 0:
                fill_bits(words[: (e - r) * keys], first * keys, key0, key1, call_low, call_high)
                for u in range(e - r):
                    drop(p[first + u, :n], words[u * keys :], threshold, factor, dropped[u])
                weights = at(dropped, 0, 0)
        gemm(False, False, e - r, size, n, 1, weights, keys, v, v_row, 0, o + 4 * r * o_row, o_row)


@parallel
def _backward(t, nt, read, written, p, sizes, drops):
    (do, q, k, v), (dq, dk, dv) = read, written
    heads, time, size, causal, scale = sizes
    rows, keys = p.shape
    words, dropped = _room(keys, drops[0])
    dp = np.empty((BLOCK, keys), np.float32)
    for i in range(t * (rows // time) // nt, (t + 1) * (rows // time) // nt):
        b, h = i // heads, i % heads
        places = _head(do, b, h), _head(q, b, h), _head(k, b, h), _head(v, b, h)
        into = _head(dq, b, h), _head(dk, b, h), _head(dv, b, h)
        backward_head(places, into, p, dp, i * time, time, size, causal, scale, words, dropped, drops)


@jit
def backward_head(read, written, p, dp, start, time, size, causal, scale, words, dropped, drops):
    """One head: ``read`` and ``written`` are the addresses of first rows, and the elements from a row to the next."""
    (do, do_row), (q, q_row), (k, k_row), (v, v_row) = read
    (dq, dq_row), (dk, dk_row), (dv, dv_row) = written
    keys = p.shape[1]
    blocks = (time + BLOCK - 1) // BLOCK
    for block in range(blocks - 1, -1, -1):  # the last sees every key: it begins the sums over queries
        r, e = block * BLOCK, min((block + 1) * BLOCK, time)
        n, first, beta = e if causal else keys, start + r, 0 if block == blocks - 1 else 1
        do_r, q_r, dq_r = do + 4 * r * do_row, q + 4 * r * q_row, dq + 4 * r * dq_row
        gemm(False, True, e - r, n, size, 1, do_r, do_row, v, v_row, 0, at(dp, 0, 0), keys)
        weights = at(p, first, 0)
        if drops is not None:
            threshold, factor, key0, key1, call_low, call_high = drops
            if threshold > 0:
                fill_bits(words[: (e - r) * keys], first * keys, key0, key1, call_low, call_high)
                for u in range(e - r):
                    drop(p[first + u, :n], words[u * keys :], threshold, factor, dropped[u])
                    drop(dp[u, :n], words[u * keys :], threshold, factor, dp[u])
                weights = at(dropped, 0, 0)
        gemm(True, False, n, size, e - r, 1, weights, keys, do_r, do_row, beta, dv, dv_row)
        for u in range(e - r):
            _softmax_backward(p[first + u], dp[u, :n], r + u + 1 if causal else n, np.float32(scale))
        gemm(False, False, e - r, size, n, 1, at(dp, 0, 0), keys, k, k_row, 0, dq_r, dq_row)
        gemm(True, False, n, size, e - r, 1, at(dp, 0, 0), keys, q_r, q_row, beta, dk, dk_row)


@jit
def _room(keys, threshold):
    """Where a block's random words and its dropped weights go; empty without dropout."""
    rows = BLOCK if threshold > 0 else 0
    return np.empty(rows * keys, np.uint32), np.empty((rows, keys), np.float32)


@jit
def _head(layout, b, h):
    """The address of head h of batch entry b, and the elements from one of its rows to the next."""
    first, strides = layout
    return first.ctypes.data + b * strides[0] + h * strides[1], strides[2] // 4


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
