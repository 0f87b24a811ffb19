"""Layer normalisation. k = n/32 + 12 (forward: a warp shares a row) and n/256 + 24 (backward: a block) count the
roundings of a sum over a row; a sum over rows takes one for each row, and some for the blocks.
"""

from collections.abc import Callable

import numpy as np

from gdengine.kernels.layer_norm import cuda, reference

from . import BF16, FLOATS, U, assert_within, case, normal, unaligned, wide

SHAPES = ((1, 1), (5, 8), (7, 301), (3, 768), (14, 1032), (18, 40))
EPS = 1e-5


def _check_forward(x: np.ndarray, w: np.ndarray | None, b: np.ndarray | None, got: tuple, what: str) -> None:
    """``x``: float64. Against the reference, with the error of mean and variance carried on."""
    n = x.shape[1]
    k = n / 32 + 12
    y, mean, rstd = got
    weight, bias = (None if p is None else wide(p) for p in (w, b))
    exact, exact_mean, exact_rstd = reference.forward(x, weight, bias, eps=EPS)
    e_mean = k * U * np.abs(x).mean(axis=1)
    centred = np.abs(x - exact_mean[:, None])
    e_centred = e_mean[:, None] + U * (centred + e_mean[:, None])
    e_var = (2 * centred * e_centred + e_centred**2).mean(axis=1) + (k + 4) * U * (centred**2).mean(axis=1)
    e_rstd = exact_rstd * np.minimum(0.5 * e_var * exact_rstd**2 + 4 * U, 1)
    assert_within(mean, exact_mean, e_mean, f"{what}: mean")
    assert_within(rstd, exact_rstd, e_rstd, f"{what}: rstd")
    size = 1 if weight is None else np.abs(weight)
    bound = size * (e_centred * exact_rstd[:, None] + centred * (e_rstd + 3 * U * exact_rstd)[:, None])
    bound += U * (np.abs(exact) + (0 if bias is None else 2 * np.abs(bias)))
    assert_within(y, exact, bound, f"{what}: y")


@case
def forward() -> None:
    for dtype in FLOATS:
        for shape in SHAPES:
            x = normal(*shape, dtype=dtype) + np.asarray(3, dtype)
            w, b = normal(shape[1], dtype=dtype, seed=1), normal(shape[1], dtype=dtype, seed=2)
            _check_forward(wide(x), w, b, cuda.forward(x, w, b, eps=EPS), f"{dtype} {shape}")
        _check_forward(wide(x), None, None, cuda.forward(x, eps=EPS), "plain")
        _check_forward(wide(x), w, None, cuda.forward(unaligned(x), w, eps=EPS), "unaligned")


@case
def forward_with_the_residual() -> None:
    for dtype in FLOATS:
        for shape in SHAPES:
            x, residual = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=3)
            w, b = normal(shape[1], dtype=dtype, seed=1), normal(shape[1], dtype=dtype, seed=2)
            y, total, mean, rstd = cuda.forward_residual(x, residual, w, b, eps=EPS)
            np.testing.assert_array_equal(total, x + residual)
            _check_forward(wide(total), w, b, (y, mean, rstd), f"{dtype} {shape}")


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
    mean, rstd = (value.astype(np.float32) for value in reference.forward(wide(x))[1:])
    got = [wrap(old), normal(n, seed=4), normal(n, seed=5)]
    exact = [wide(array) for array in got]
    before = [np.abs(array) * add for array, add in zip(exact, accumulate, strict=True)]
    names = ("dx", "dw", "db")
    weight = None if w is None else wide(w)
    reference.backward(
        *(wide(dy), wide(x), weight, wide(mean), wide(rstd)),
        **dict(zip(names, exact, strict=True)),
        accumulate=accumulate,
    )
    cuda.backward(wrap(dy), wrap(x), w, mean, rstd, **dict(zip(names, got, strict=True)), accumulate=accumulate)
    normed = np.abs(wide(x) - wide(mean)[:, None]) * wide(rstd)[:, None]
    d = np.abs(wide(dy)) * (1 if weight is None else np.abs(weight))
    k = n / 256 + 24
    mean_d, mean_dh = d.mean(axis=1, keepdims=True), (d * normed).mean(axis=1, keepdims=True)
    row = (d + (k + 4) * mean_d + (k + 10) * normed * mean_dh) * U
    bounds = [
        4 * wide(rstd)[:, None] * row + 2 * U * before[0],
        (rows + 24) * U * (np.abs(wide(dy)) * normed).sum(axis=0) + 2 * U * before[1],
        (rows + 24) * U * np.abs(wide(dy)).sum(axis=0) + 2 * U * before[2],
    ]
    for values in zip(got, exact, bounds, names, strict=True):
        assert_within(*values[:3], f"{dtype} {shape} {accumulate}: {values[3]}")


@case
def backward() -> None:
    for dtype in FLOATS:
        for i, shape in enumerate(SHAPES):
            add = i % 2 == 1
            _check_backward(shape, dtype, (add, not add, add))
        _check_backward((6, 44), dtype, (True, True, True), unaligned)
        _check_backward((6, 44), dtype, (False, False, False), plain=True)
        _check_backward((6, 45), dtype, (True, False, False), plain=True)


@case
def backward_of_what_is_asked_for() -> None:
    dy, x = normal(5, 33), normal(5, 33, seed=1)
    mean, rstd = (value.astype(np.float32) for value in reference.forward(wide(x))[1:])
    whole = [np.empty_like(x), np.empty(33, np.float32), np.empty(33, np.float32)]
    cuda.backward(dy, x, None, mean, rstd, dx=whole[0], dw=whole[1], db=whole[2])
    for i, name in enumerate(("dx", "dw", "db")):
        alone = np.empty_like(whole[i])
        cuda.backward(dy, x, None, mean, rstd, **{name: alone})
        np.testing.assert_array_equal(alone, whole[i])


@case
def arrays_in_any_layout() -> None:
    x = normal(33, 6, dtype=BF16).T
    y, _, _ = cuda.forward(x)
    np.testing.assert_array_equal(y, cuda.forward(x.copy(order="C"))[0])
    dx = np.zeros((33, 6), BF16).T
    mean, rstd = (value.astype(np.float32) for value in reference.forward(wide(x))[1:])
    cuda.backward(y, x, None, mean, rstd, dx=dx)
    same = np.zeros((6, 33), BF16)
    cuda.backward(y, x.copy(order="C"), None, mean, rstd, dx=same)
    np.testing.assert_array_equal(dx, same)
