"""The sum of squares in float64: squares of float32 are exact there, so only additions round."""

import math

import numpy as np

from gdengine.kernels import runtime
from gdengine.kernels.common.chunks import parts, whole
from gdengine.kernels.global_norm import cuda, reference

from . import FLOATS, case, normal, unaligned

SIZES = (1, 3, 4097, 110_000)  # the last makes blocks stride


@case
def sum_of_squares() -> None:
    for size in SIZES:
        for dtype in FLOATS:
            g = normal(size, dtype=dtype)
            for array in (g, unaligned(g)):
                exact = reference.sum_of_squares(array)
                assert abs(cuda.sum_of_squares(array) - exact) <= size * 2.0**-53 * exact, (size, dtype)


@case
def clip_factor_and_finite_check() -> None:
    a, b = normal(5000), normal(700, seed=1)
    chunks = parts(5000, [(96, 4300, 0), (4320, 4321, 1)])
    exact = reference.sum_of_squares(np.concatenate((a[96:4300], a[4320:4321], b)))
    for max_norm in (None, 0.5, 1e9):
        total, scale, ok = cuda.measure([(a, chunks), (b, whole(700))], max_norm)
        np.testing.assert_allclose(total, [exact], rtol=6000 * 2.0**-53)
        expected = 1.0 if max_norm is None else min(1.0, max_norm / (math.sqrt(exact) + 1e-6))
        np.testing.assert_allclose(scale, [expected], rtol=2.0**-23)
        assert ok[0] == 1
    for bad in (np.nan, np.inf, -np.inf):
        a[4320] = bad
        assert cuda.measure([(b, whole(700)), (a, chunks)], 1.0)[2][0] == 0
    a[4320], a[4321] = 0, np.nan  # beyond the parts
    assert cuda.measure([(a, chunks)])[2][0] == 1
    assert cuda.measure([(a, parts(5000, []))])[0][0] == 0


@case
def many_partial_sums_and_a_small_norm() -> None:
    """More partial sums than the last block has threads; the 1e-6 in the clip factor counts."""
    partials = np.abs(normal(600).astype(np.float64)) * 1e-12
    total, scale, ok = np.zeros(1), np.zeros(1, np.float32), np.zeros(1, np.int32)
    arguments = (partials, 600, 1e-7, None, 0, total, scale, ok)
    runtime.launch(cuda.SOURCE["finish_norm"], grid=(1,), block=(256,), arguments=arguments)
    np.testing.assert_allclose(total, [partials.sum()], rtol=600 * 2.0**-53)
    np.testing.assert_allclose(scale, [1e-7 / (math.sqrt(partials.sum()) + 1e-6)], rtol=2.0**-23)
    assert ok[0] == 1


@case
def the_largest_numbers_do_not_overflow() -> None:
    g = np.full(10, np.finfo(np.float32).max, np.float32)
    total, _, ok = cuda.measure([(g, whole(10))], 1.0)
    assert ok[0] == 1
    np.testing.assert_allclose(total[0], reference.sum_of_squares(g), rtol=1e-14)


@case
def a_loss_that_is_not_finite_is_enough() -> None:
    g, losses = normal(100), normal(5).astype(np.float64)
    for bad in (0.0, 1e300, np.nan, np.inf, -np.inf):
        for place in (0, 4):
            changed = losses.copy()
            changed[place] = bad
            total, _, ok = cuda.measure([(g, whole(100))], 1.0, changed)
            assert ok[0] == math.isfinite(bad)
            np.testing.assert_allclose(total[0], reference.sum_of_squares(g), rtol=100 * 2.0**-53)
    g[7] = np.nan
    assert cuda.measure([(g, whole(100))], 1.0, losses)[2][0] == 0


@case
def first_not_finite() -> None:
    """In ascending order of place, and only among the parts; looked for only where the finite check failed."""
    size, cut = 130_000, [(64, 9000, 0), (9056, 130_000, 0)]
    g, failed, passed = normal(size), np.zeros(1, np.int32), np.ones(1, np.int32)
    chunks = parts(size, cut)
    assert cuda.first_not_finite(g, chunks, failed)[0] == cuda.NOWHERE
    for bad, expected in (({0: np.nan}, cuda.NOWHERE), ({129_999: np.inf}, 129_999), ({9055: np.nan}, 129_999)):
        for place, value in bad.items():
            g[place] = value
        assert cuda.first_not_finite(g, chunks, failed)[0] == expected
    for place in (70_000, 9056 + 4096, 9056, 8999, 64 + 300, 64 + 5):
        g[place] = -np.inf
        assert cuda.first_not_finite(g, chunks, failed)[0] == place
    assert cuda.first_not_finite(g, chunks, passed)[0] == cuda.NOWHERE
    assert cuda.first_not_finite(g, whole(size), failed)[0] == 0
    backwards = [(i, i + 1, 0) for i in reversed(range(8, 400))]  # parts in any order, several to a block
    g[:400] = np.nan
    assert cuda.first_not_finite(g, parts(size, backwards), failed)[0] == 8
    assert cuda.first_not_finite(g, parts(size, []), failed)[0] == cuda.NOWHERE
