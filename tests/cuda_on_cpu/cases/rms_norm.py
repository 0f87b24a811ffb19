"""Root mean square normalisation. k = n/32 + 12 (forward: a warp shares a row) and n/256 + 24 (backward: a block) count
the roundings of a sum over a row; a sum over rows takes one for each row, and some for the blocks.
"""

from collections.abc import Callable

import numpy as np

from gdengine.kernels.rms_norm import cuda, reference

from . import BF16, FLOATS, U, assert_within, case, normal, unaligned, wide

SHAPES = ((1, 1), (5, 8), (7, 301), (3, 768), (14, 1032), (18, 40))
EPS = 1e-5


def _check_forward(x: np.ndarray, w: np.ndarray | None, got: tuple, what: str) -> None:
    """Terms of one sign: mean(x²) is relatively as good as its sum, and its root twice as good."""
    k = x.shape[1] / 32 + 12
    exact, exact_rstd = reference.forward(wide(x), None if w is None else wide(w), eps=EPS)
    assert_within(got[1], exact_rstd, (k / 2 + 4) * U * exact_rstd, f"{what}: rstd")
    assert_within(got[0], exact, (k / 2 + 7) * U * np.abs(exact), f"{what}: y")


@case
def forward() -> None:
    for dtype in FLOATS:
        for shape in SHAPES:
            x, w = normal(*shape, dtype=dtype), normal(shape[1], dtype=dtype, seed=1)
            _check_forward(x, w, cuda.forward(x, w, eps=EPS), f"{dtype} {shape}")
        _check_forward(x, None, cuda.forward(x, eps=EPS), "plain")
        _check_forward(x, w, cuda.forward(unaligned(x), w, eps=EPS), "unaligned")


def _check_backward(
    shape: tuple[int, int],
    dtype: np.dtype,
    accumulate: tuple,
    wrap: Callable[[np.ndarray], np.ndarray] = np.copy,
    plain: bool = False,
) -> None:
    rows, n = shape
    dy, x, old = (normal(*shape, dtype=dtype, seed=seed) for seed in range(3))
    w = None if plain else normal(n, dtype=dtype, seed=3)
    rstd = reference.forward(wide(x))[1].astype(np.float32)
    got = [wrap(old), normal(n, seed=4)]
    exact = [wide(array) for array in got]
    before = [np.abs(array) * add for array, add in zip(exact, accumulate, strict=True)]
    weight = None if w is None else wide(w)
    reference.backward(wide(dy), wide(x), weight, wide(rstd), dx=exact[0], dw=exact[1], accumulate=accumulate)
    cuda.backward(wrap(dy), wrap(x), w, rstd, dx=got[0], dw=got[1], accumulate=accumulate)
    normed = np.abs(wide(x)) * wide(rstd)[:, None]
    d = np.abs(wide(dy)) * (1 if weight is None else np.abs(weight))
    k = n / 256 + 24
    row = (4 * d + (k + 10) * normed * (d * normed).mean(axis=1, keepdims=True)) * U
    bounds = [
        wide(rstd)[:, None] * row + 2 * U * (before[0] + np.abs(exact[0])),
        (rows + 24) * U * (np.abs(wide(dy)) * normed).sum(axis=0) + 2 * U * before[1],
    ]
    for name, *values in zip(("dx", "dw"), got, exact, bounds, strict=True):
        assert_within(*values, f"{dtype} {shape} {accumulate}: {name}")


@case
def backward() -> None:
    for dtype in FLOATS:
        for i, shape in enumerate(SHAPES):
            add = i % 2 == 1
            _check_backward(shape, dtype, (add, not add))
        _check_backward((6, 44), dtype, (True, True), unaligned)
        _check_backward((6, 44), dtype, (False, False), plain=True)
        _check_backward((6, 45), dtype, (True, False), plain=True)


@case
def backward_of_what_is_asked_for() -> None:
    dy, x = normal(5, 33), normal(5, 33, seed=1)
    rstd = reference.forward(wide(x))[1].astype(np.float32)
    whole = {"dx": np.empty_like(x), "dw": np.empty(33, np.float32)}
    cuda.backward(dy, x, None, rstd, **whole)
    for name, expected in whole.items():
        alone = np.empty_like(expected)
        cuda.backward(dy, x, None, rstd, **{name: alone})
        np.testing.assert_array_equal(alone, expected)


@case
def arrays_in_any_layout() -> None:
    x = normal(33, 6, dtype=BF16).T
    y, rstd = cuda.forward(x)
    np.testing.assert_array_equal(y, cuda.forward(x.copy(order="C"))[0])
    dx, same = np.zeros((33, 6), BF16).T, np.zeros((6, 33), BF16)
    cuda.backward(y, x, None, rstd, dx=dx)
    cuda.backward(y, x.copy(order="C"), None, rstd, dx=same)
    np.testing.assert_array_equal(dx, same)
