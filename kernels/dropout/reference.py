"""Dropout in plain NumPy: the specification."""

import math

import numpy as np

from ..common.wide import narrow, wide
from ..philox import reference as philox


def forward(x, p, key, call):
    kept = (philox.bits(key, call, x.size) >> np.uint32(8)) >= math.ceil(p * 2**24)
    z = wide(x)
    return narrow(np.where(kept.reshape(x.shape), z * z.dtype.type(1 / (1 - p)), z.dtype.type(0)), x)
