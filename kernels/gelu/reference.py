"""GELU, tanh form, in plain NumPy: the specification."""

import math

import numpy as np

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def forward(x):
    return 0.5 * x * (1 + np.tanh(ROOT * (x + CUBIC * x * x * x)))


def backward(dy, x):
    tanh = np.tanh(ROOT * (x + CUBIC * x * x * x))
    slope = ROOT * (1 + 3 * CUBIC * x * x)
    return dy * (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * slope)
