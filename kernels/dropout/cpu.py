"""Dropout for float32: random words are drawn a short stretch at a time, and used while they are in the cache."""

import math

import numpy as np

from ..common.arrays import ready
from ..common.jit import jit, parallel
from ..common.pieces import pieces, split
from ..philox.cpu import counter_words, fill_bits

STRETCH = 1024
ZERO = np.float32(0)


def forward(x, p, key, call):
    y = np.empty(x.shape, np.float32)
    x = ready(x, x.shape, "x")
    _forward(pieces(2 * x.size), x.reshape(-1), y.reshape(-1), *settings(p, key, call))
    return y


def settings(p, key, call):
    """The arguments of `drop` that stand for a random call: threshold, factor, and what `fill_bits` wants."""
    return math.ceil(p * 2**24), 1 / (1 - p), *counter_words(key, call)


@parallel
def _forward(t, nt, x, y, threshold, factor, key0, key1, call_low, call_high):
    lo, hi = split(x.size, t, nt)
    words = np.empty(STRETCH, np.uint32)
    for a in range(lo, hi, STRETCH):
        e = min(a + STRETCH, hi)
        fill_bits(words[: e - a], a, key0, key1, call_low, call_high)
        drop(x[a:e], words, threshold, factor, y[a:e])


@jit
def drop(x, words, threshold, factor, y):
    """y[j] = factor · x[j] where the upper 24 bits of words[j] reach the threshold, else 0."""
    factor, least = np.float32(factor), np.uint32(threshold)
    for j in range(x.size):
        y[j] = x[j] * factor if words[j] >> np.uint32(8) >= least else ZERO
