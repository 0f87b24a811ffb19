"""GELU, tanh form, for float32, in one pass.

With u the argument of the tanh, tanh(u) = 2·σ(2u) − 1 and σ(2u) = 1/(1 + e^−2u): gelu(x) = x·σ, and
gelu'(x) = σ + x·σ·(1 − σ)·(2u)'. The exponential is taken of −|2u| only: nothing overflows, and 1 − σ loses no digits.
"""

import math

import numpy as np

from ..common.elementwise import computed
from ..common.exp import ONE, ZERO, fexp
from ..common.jit import jit, parallel
from ..common.pieces import split

# 2u = LINEAR·x + CUBIC·x³
LINEAR = np.float32(2 * math.sqrt(2 / math.pi))
CUBIC = np.float32(2 * math.sqrt(2 / math.pi) * 0.044715)
SLOPE = np.float32(3 * 2 * math.sqrt(2 / math.pi) * 0.044715)


def forward(x):
    (y,) = computed(_forward, x=x)
    return y


def backward(dy, x):
    (dx,) = computed(_backward, dy=dy, x=x)
    return dx


@parallel
def _forward(t, nt, x, y):
    lo, hi = split(x.size, t, nt)
    forward_row(x[lo:hi], y[lo:hi])


@parallel
def _backward(t, nt, dy, x, dx):
    lo, hi = split(x.size, t, nt)
    dy, x, dx = dy[lo:hi], x[lo:hi], dx[lo:hi]
    for i in range(dx.size):
        dx[i] = dy[i] * slope(x[i])


@jit
def forward_row(x, y):
    for i in range(x.size):
        y[i] = x[i] * _sigmoid(x[i], fexp(-_magnitude(x[i])))


@jit
def slope(x):
    """gelu'(x)."""
    return value_and_slope(x)[1]


@jit
def value_and_slope(x):
    """gelu(x) and gelu'(x)."""
    e = fexp(-_magnitude(x))
    s = ONE / (ONE + e)
    sigmoid = s if x >= ZERO else e * s
    return x * sigmoid, sigmoid + x * (e * s * s) * (LINEAR + SLOPE * x * x)


@jit
def _magnitude(x):
    """|2u|."""
    return abs(x * (LINEAR + CUBIC * x * x))


@jit
def _sigmoid(x, e):
    """σ(2u) from e = e^−|2u|; u has the sign of x."""
    return (ONE if x >= ZERO else e) / (ONE + e)
