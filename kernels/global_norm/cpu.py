"""The sum of squares for float32: as many running sums in float64 as vectors hold."""

import numpy as np

from ..common.arrays import ready
from ..common.jit import parallel
from ..common.pieces import pieces, split


def sum_of_squares(g):
    g = ready(g, g.shape, "g").reshape(-1)
    nt = pieces(g.size)
    sums = np.zeros(nt, np.float64)
    _sum_of_squares(nt, g, sums)
    return float(sums.sum())


@parallel
def _sum_of_squares(t, nt, g, sums):
    lo, hi = split(g.size, t, nt)
    part, total = g[lo:hi], 0.0
    for i in range(part.size):
        wide = np.float64(part[i])
        total += wide * wide
    sums[t] = total
