"""SwiGLU in plain NumPy: the specification."""

from ..common.wide import narrow, wide
from ..silu.reference import sigmoid, slope


def forward(a, b):
    z = wide(a)
    return narrow(z * sigmoid(z) * wide(b), a)


def backward(dy, a, b):
    z, d = wide(a), wide(dy)
    return narrow(d * wide(b) * slope(z), a), narrow(d * z * sigmoid(z), b)
