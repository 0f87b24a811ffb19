"""Dropout: which elements stay is exact; a kept one takes a rounding of the factor and one of the product."""

import numpy as np

from gdengine.kernels import runtime
from gdengine.kernels.dropout import cuda, reference
from gdengine.kernels.philox import reference as philox

from . import FLOATS, U, assert_within, case, normal, unaligned, wide

KEY, CALL = (0x12345678, 0x9ABCDEF0), 2**40 + 3


@case
def forward() -> None:
    for dtype in FLOATS:
        for size, p in ((1, 0.5), (6, 0.0), (1030, 0.25), (26_007, 0.1)):
            _check(normal(size, dtype=dtype), p)
        _check(unaligned(normal(7, 9, dtype=dtype)), 0.5)


@case
def call_number_from_device_memory() -> None:
    x = normal(100)
    base = np.array([2**40], np.uint64)
    with runtime.counting_from(base):
        counted = cuda.forward(x, 0.5, KEY, 3)
    np.testing.assert_array_equal(counted, cuda.forward(x, 0.5, KEY, CALL))


@case
def an_element_at_the_threshold_stays() -> None:
    """p is chosen so that element 2 draws exactly ⌈p·2²⁴⌉: it stays, and with p one step of 2⁻²⁴ higher it goes."""
    x = np.ones(4, np.float32)
    drawn = int(philox.bits(KEY, CALL, 4)[2] >> np.uint32(8))
    assert cuda.forward(x, drawn * 2.0**-24, KEY, CALL)[2] > 0
    assert cuda.forward(x, (drawn + 1) * 2.0**-24, KEY, CALL)[2] == 0


def _check(x: np.ndarray, p: float) -> None:
    y, exact = cuda.forward(x, p, KEY, CALL), reference.forward(wide(x), p, KEY, CALL)
    np.testing.assert_array_equal(y == 0, exact == 0)
    assert_within(y, exact, 2 * U * np.abs(exact), f"{x.dtype} {x.shape} {p}")
