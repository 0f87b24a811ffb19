"""Rotary position embedding: two products and a sum, a rounding each of |x_a| + |x_b| at most."""

import numpy as np

from gdengine.kernels.rotary import cuda, reference

from . import FLOATS, U, assert_within, case, normal, wide

# (M, T, D), R
SHAPES = (((1, 1, 2), 2), ((3, 5, 8), 8), ((2, 7, 10), 6), ((2, 3, 5), 0), ((9, 33, 32), 32))


@case
def rotate() -> None:
    for dtype in FLOATS:
        for shape, width in SHAPES:
            x, angle = normal(*shape, dtype=dtype), normal(shape[1], width // 2, seed=1)
            cos, sin = np.cos(angle), np.sin(angle)
            for options in ({}, {"interleaved": True}, {"inverse": True}, {"interleaved": True, "inverse": True}):
                got = cuda.rotate(x, cos, sin, **options)
                exact = reference.rotate(wide(x), wide(cos), wide(sin), **options)
                bound = 6 * U * np.abs(wide(x)).max(axis=2, keepdims=True) * np.ones(shape)
                bound[..., width:] = 0
                assert_within(got, exact, bound, f"{dtype} {shape} {options}")
