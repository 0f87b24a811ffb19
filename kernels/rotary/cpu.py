"""Rotary position embedding for float32, in one pass."""

import numpy as np

from ..common.arrays import ready
from ..common.jit import jit, parallel
from ..common.pieces import pieces, split
from ..common.rows import copy


def rotate(x, cos, sin, *, interleaved=False, inverse=False):
    m, time, size = x.shape
    half = cos.shape[1]
    x = ready(x, x.shape, "x")
    cos, sin = ready(cos, (time, half), "cos"), ready(sin, (time, half), "sin")
    y = np.empty(x.shape, np.float32)
    rows = (m * time, size)
    _rotate(pieces(x.size), x.reshape(rows), cos, sin, bool(interleaved), -1.0 if inverse else 1.0, y.reshape(rows))
    return y


@parallel
def _rotate(t, nt, x, cos, sin, interleaved, sign, y):
    half = cos.shape[1]
    lo, hi = split(x.shape[0], t, nt)
    for i in range(lo, hi):
        row, into, at = x[i], y[i], i % max(1, cos.shape[0])
        if interleaved:
            _pairs(
                row[0 : 2 * half : 2], row[1 : 2 * half : 2], cos[at], sin[at], np.float32(sign), into[::2], into[1::2]
            )
        else:
            first, second = row[:half], row[half : 2 * half]
            _pairs(first, second, cos[at], sin[at], np.float32(sign), into[:half], into[half : 2 * half])
        copy(into[2 * half :], row[2 * half :])


@jit
def _pairs(first, second, cos, sin, sign, to_first, to_second):
    for k in range(cos.size):
        a, b, s = first[k], second[k], sin[k] * sign
        to_first[k] = a * cos[k] - b * s
        to_second[k] = b * cos[k] + a * s
