"""GELU: tanh is good to 2 ulp, its argument to 4 roundings, and tanh' ≤ 1, so that tanh is off by at most 6u."""

import numpy as np

from gdengine.kernels.gelu import cuda, reference

from . import FLOATS, U, assert_within, case, normal, unaligned, wide

SIZES = (1, 7, 8, 1030, 26_007)  # the last makes blocks stride


@case
def forward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            x = 3 * normal(size)
            x = x.astype(dtype)
            assert_within(cuda.forward(x), reference.forward(wide(x)), 8 * U * np.abs(wide(x)), f"{dtype} {size}")
        x = unaligned(normal(33, 5, dtype=dtype))
        assert_within(cuda.forward(x), reference.forward(wide(x)), 8 * U * np.abs(wide(x)), "unaligned")


@case
def backward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            x, dy = (3 * normal(size)).astype(dtype), normal(size, dtype=dtype, seed=1)
            _check_backward(dy, x, f"{dtype} {size}")
        _check_backward(normal(33, 5, dtype=dtype), unaligned(normal(33, 5, dtype=dtype, seed=1)), "unaligned")


def _check_backward(dy: np.ndarray, x: np.ndarray, what: str) -> None:
    size, cubic = np.abs(wide(x)), 3 * reference.CUBIC * wide(x) ** 2
    bound = np.abs(wide(dy)) * (8 + 0.5 * size * reference.ROOT * (1 + cubic) * 20) * U
    assert_within(cuda.backward(dy, x), reference.backward(wide(dy), wide(x)), bound, what)
