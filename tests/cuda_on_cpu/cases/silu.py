"""SiLU: expf and the quotient are good to 2 ulp, 4u; 1 + e and the product with x round once.

Where x ≥ 0, the error of e counts for e/(1 + e) ≤ 1/2 of itself: 8u in all; where x < 0, it is 10u of a σ ≤ 1/2.
"""

import numpy as np

from gdengine.kernels.silu import cuda, reference

from . import FLOATS, U, assert_within, case, normal, unaligned, wide

SIZES = (1, 7, 8, 1030, 26_007)  # the last makes blocks stride


@case
def forward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            x = (3 * normal(size)).astype(dtype)
            _check_forward(x, f"{dtype} {size}")
        _check_forward(unaligned(normal(33, 5, dtype=dtype)), "unaligned")
        _check_forward(np.array([-200, -88, 0, 88, 200], dtype), "large")


@case
def backward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            x, dy = (3 * normal(size)).astype(dtype), normal(size, dtype=dtype, seed=1)
            _check_backward(dy, x, f"{dtype} {size}")
        _check_backward(normal(33, 5, dtype=dtype), unaligned(normal(33, 5, dtype=dtype, seed=1)), "unaligned")


def _check_forward(x: np.ndarray, what: str) -> None:
    assert_within(cuda.forward(x), reference.forward(wide(x)), 8 * U * np.abs(wide(x)), what)


def _check_backward(dy: np.ndarray, x: np.ndarray, what: str) -> None:
    """σ to 10 roundings, twice, and σ·(1 + x·σ(−x)) three more, and dy: 24 of its terms."""
    bound = 24 * U * np.abs(wide(dy)) * slope_size(wide(x))
    assert_within(cuda.backward(dy, x), reference.backward(wide(dy), wide(x)), bound, what)


def slope_size(x: np.ndarray) -> np.ndarray:
    """The terms of silu'(x), without their signs."""
    return reference.sigmoid(x) * (1 + np.abs(x) * reference.sigmoid(-x))
