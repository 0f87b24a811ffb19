"""Dropout in plain NumPy: the specification."""

import math

import numpy as np

from ..philox import reference as philox


def forward(x, p, key, call):
    kept = (philox.bits(key, call, x.size) >> np.uint32(8)) >= math.ceil(p * 2**24)
    return np.where(kept.reshape(x.shape), x * x.dtype.type(1 / (1 - p)), x.dtype.type(0))
