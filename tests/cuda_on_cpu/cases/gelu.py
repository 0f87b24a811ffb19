"""GELU is x·s with s = 1/(1 + e), e = exp(−2u). In units of 2⁻²⁴: e is off by 4 + 2.4·|2u| (CUDA C++ Programming Guide,
"Intrinsic Functions") and by 4·|2u| more from its argument's roundings, of which s'(2u) ≤ 1/4 leaves 2.1 at most; the
sum and the quotient take 5·s. Together at most 6, and 12 for 2·s·(1 − s).
"""

import numpy as np

from gdengine.kernels.gelu import cuda, reference

from . import FLOATS, U, assert_within, case, normal, unaligned, wide

SIZES = (1, 7, 8, 1030, 26_007)  # the last makes blocks stride
EXTREME = np.array([-1e18, -200, -20, -10, 10, 20, 200, 1e18])  # where e^−2u is 0, or infinite


@case
def forward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            x = 3 * normal(size)
            x = x.astype(dtype)
            assert_within(cuda.forward(x), reference.forward(wide(x)), 8 * U * np.abs(wide(x)), f"{dtype} {size}")
        x = EXTREME.astype(dtype)
        assert_within(cuda.forward(x), reference.forward(wide(x)), 8 * U * np.abs(wide(x)), f"{dtype} extreme")
        x = unaligned(normal(33, 5, dtype=dtype))
        assert_within(cuda.forward(x), reference.forward(wide(x)), 8 * U * np.abs(wide(x)), "unaligned")


@case
def backward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            x, dy = (3 * normal(size)).astype(dtype), normal(size, dtype=dtype, seed=1)
            _check_backward(dy, x, f"{dtype} {size}")
        _check_backward(np.ones(EXTREME.size, dtype), EXTREME.astype(dtype), f"{dtype} extreme")
        _check_backward(normal(33, 5, dtype=dtype), unaligned(normal(33, 5, dtype=dtype, seed=1)), "unaligned")


def _check_backward(dy: np.ndarray, x: np.ndarray, what: str) -> None:
    size, cubic = np.abs(wide(x)), 3 * reference.CUBIC * wide(x) ** 2
    bound = np.abs(wide(dy)) * (8 + size * reference.ROOT * (1 + cubic) * 14) * U
    assert_within(cuda.backward(dy, x), reference.backward(wide(dy), wide(x)), bound, what)
