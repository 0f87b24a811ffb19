"""Rotary position embedding in plain NumPy: the specification."""

from ..common.wide import narrow, wide


def rotate(x, cos, sin, *, interleaved=False, inverse=False):
    y = wide(x).copy()
    width = 2 * cos.shape[1]
    if interleaved:
        first, second = slice(0, width, 2), slice(1, width, 2)
    else:
        first, second = slice(width // 2), slice(width // 2, width)
    a, b = y[..., first].copy(), y[..., second].copy()
    sin = -sin if inverse else sin
    y[..., first] = a * cos - b * sin
    y[..., second] = b * cos + a * sin
    return narrow(y, x)
