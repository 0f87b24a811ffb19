"""SwiGLU: SiLU and its slope as in `silu`, times one or two factors more."""

import numpy as np

from gdengine.kernels.swiglu import cuda, reference

from . import FLOATS, U, assert_within, case, normal, unaligned, wide
from .silu import SIZES, slope_size


@case
def forward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            _check_forward((3 * normal(size)).astype(dtype), normal(size, dtype=dtype, seed=1), f"{dtype} {size}")
        _check_forward(unaligned(normal(33, 5, dtype=dtype)), normal(33, 5, dtype=dtype, seed=1), "a unaligned")
        _check_forward(normal(33, 5, dtype=dtype), unaligned(normal(33, 5, dtype=dtype, seed=1)), "b unaligned")


@case
def backward() -> None:
    for dtype in FLOATS:
        for size in SIZES:
            dy, a, b = (normal(size, dtype=dtype, seed=i) for i in range(3))
            _check_backward(dy, (3 * a).astype(dtype), b, f"{dtype} {size}")
        for i in range(3):
            arrays = [normal(33, 5, dtype=dtype, seed=i) for i in range(3)]
            arrays[i] = unaligned(arrays[i])
            _check_backward(*arrays, f"array {i} unaligned")


def _check_forward(a: np.ndarray, b: np.ndarray, what: str) -> None:
    exact = reference.forward(wide(a), wide(b))
    assert_within(cuda.forward(a, b), exact, 10 * U * np.abs(wide(a) * wide(b)), what)


def _check_backward(dy: np.ndarray, a: np.ndarray, b: np.ndarray, what: str) -> None:
    da, db = cuda.backward(dy, a, b)
    exact = reference.backward(wide(dy), wide(a), wide(b))
    bound = 26 * U * np.abs(wide(dy) * wide(b)) * slope_size(wide(a))
    assert_within(da, exact[0], bound, f"{what}: da")
    assert_within(db, exact[1], 10 * U * np.abs(wide(dy) * wide(a)), f"{what}: db")
