"""One step of an exponential moving average for float32, in one pass."""

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


def update(average, x, *, decay):
    shape = average.shape
    x, written = ready(x, shape, "x"), target(average, shape, "average")
    _update(pieces(written.size), written.reshape(-1), x.reshape(-1), 1.0 - decay)
    finish(written, average)


@parallel
def _update(t, nt, average, x, share):
    lo, hi = split(average.size, t, nt)
    average, x, share = average[lo:hi], x[lo:hi], np.float32(share)
    for i in range(average.size):
        average[i] += share * (x[i] - average[i])
