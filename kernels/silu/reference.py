"""SiLU in plain NumPy: the specification."""

import numpy as np

from ..common.wide import narrow, wide


def forward(x):
    z = wide(x)
    return narrow(z * sigmoid(z), x)


def backward(dy, x):
    return narrow(wide(dy) * slope(wide(x)), x)


def slope(z):
    """silu'(z)."""
    return sigmoid(z) * (1 + z * sigmoid(-z))


def sigmoid(z):
    """σ(z), from e^−|z|: nothing overflows, and σ(−z) is 1 − σ(z) with all its digits."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)
