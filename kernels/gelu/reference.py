"""GELU, tanh form, in plain NumPy: the specification."""

import math

import numpy as np

from ..common.wide import narrow, wide

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def forward(x):
    z = wide(x)
    return narrow(0.5 * z * (1 + np.tanh(ROOT * (z + CUBIC * z * z * z))), x)


def backward(dy, x):
    z = wide(x)
    tanh = np.tanh(ROOT * (z + CUBIC * z * z * z))
    slope = ROOT * (1 + 3 * CUBIC * z * z)
    return narrow(wide(dy) * (0.5 * (1 + tanh) + 0.5 * z * (1 - tanh * tanh) * slope), x)
