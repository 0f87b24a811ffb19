"""The affine map. Every sum of n products is taken one after the other in float32 (tensor cores: 16 at a time), the
parts of a split sum likewise: it is off by at most (n + parts)·u·Σ|terms|; bias, residual, what was there before and
the activation add a few roundings of their own size. Products of bfloat16 numbers are exact in float32.
"""

from collections.abc import Callable

import numpy as np
import pytest

from gdengine.kernels import runtime
from gdengine.kernels.linear import cuda, reference

from . import BF16, FLOATS, U, assert_within, case, normal, unaligned, wide

SHAPES = ((1, 1, 1), (5, 7, 9), (4, 8, 9), (130, 12, 20), (33, 140, 132))  # M, N, K
ALIGNED = ((1, 8, 8), (137, 24, 104), (9, 152, 136))  # N and K multiples of 8


def _products(shapes: tuple, dtype: np.dtype, wrap: Callable[[np.ndarray], np.ndarray] = np.copy) -> None:
    for i, (m, n, k) in enumerate(shapes):
        x, w, b = (wrap(normal(*shape, dtype=dtype)) for shape in ((m, k), (n, k), (n,)))
        dy, residual = (wrap(normal(m, n, dtype=dtype, seed=seed)) for seed in (1, 2))
        what = f"{dtype} {m, n, k}"
        _check_forward(x, w, b, None, residual, what)
        _check_forward(x, w, b if i % 2 else None, ("gelu", "relu")[i % 2], None, what)
        for add in (False, True):
            _check_input(dy, w, wrap(normal(m, k, dtype=dtype, seed=3)), add, what)
            _check_weight(dy, x, wrap(normal(n, k, seed=4)), add, what)


def _check_forward(x, w, b, activation, residual, what) -> None:
    y, saved = cuda.forward(x, w, b, activation=activation, residual=residual)
    more = {"b": None if b is None else wide(b), "residual": None if residual is None else wide(residual)}
    exact, exact_saved = reference.forward(wide(x), wide(w), activation=activation, **more)
    size = np.abs(wide(x)) @ np.abs(wide(w)).T + sum(np.abs(p) for p in more.values() if p is not None)
    bound = (x.shape[1] + 12) * U * size * 1.13  # gelu' ≤ 1.13
    assert y.dtype == x.dtype
    assert_within(y, exact, bound, f"{what}: y, {activation}")
    if activation is None:
        assert saved is None
    else:
        assert_within(saved, exact_saved, bound, f"{what}: saved by {activation}")


def _check_input(dy, w, out, add, what) -> None:
    before = wide(out) * add
    got = cuda.backward_input(dy, w, out=out, accumulate=add)
    assert got is out
    bound = (dy.shape[1] + 4) * U * (np.abs(wide(dy)) @ np.abs(wide(w)) + np.abs(before))
    assert_within(got, before + wide(dy) @ wide(w), bound, f"{what}: dx, {add}")
    if not add:
        np.testing.assert_array_equal(cuda.backward_input(dy, w), got)


def _check_weight(dy, x, out, add, what) -> None:
    before = wide(out) * add
    got = cuda.backward_weight(dy, x, out=out, accumulate=add)
    assert got is out
    bound = (dy.shape[0] + 12) * U * (np.abs(wide(dy)).T @ np.abs(wide(x)) + np.abs(before))
    assert_within(got, before + wide(dy).T @ wide(x), bound, f"{what}: dw, {add}")
    if not add:
        np.testing.assert_array_equal(cuda.backward_weight(dy, x), got)


@case
def products_simt() -> None:
    with cuda.forced("simt"):
        for dtype in FLOATS:
            _products(SHAPES, dtype)
            _products(((9, 12, 8),), dtype, unaligned)


@case
def products_mma() -> None:
    with cuda.forced("mma"):
        _products(ALIGNED, BF16)
        for n in (3, 14):  # a result's rows may have any length
            x, w, b = normal(7, 16, dtype=BF16), normal(n, 16, dtype=BF16), normal(n, dtype=BF16)
            _check_forward(x, w, b, "gelu", None, f"N = {n}")


@case
def split_weight_gradient() -> None:
    if runtime.device().multiprocessors > 1:
        assert cuda.split(531, 1)[0] > 1
    for kind, dtype, n in (("simt", FLOATS[0], 9), ("simt", BF16, 9), ("mma", BF16, 16)):
        dy, x = normal(531, n, dtype=dtype), normal(531, 24, dtype=dtype)
        with cuda.forced(kind):
            for add in (False, True):
                _check_weight(dy, x, normal(n, 24), add, f"{kind} {dtype} split")


@case
def generations() -> None:
    x, w = normal(4, 16, dtype=BF16), normal(8, 16, dtype=BF16)
    assert cuda.generation(x, w) == "mma"
    assert cuda.generation(wide(x).astype(np.float32), w) == "simt"
    assert cuda.generation(x[:, :9].copy(), w) == "simt"
    assert cuda.generation(unaligned(x), w) == "simt"
    with cuda.forced("mma"), pytest.raises(ValueError, match="multiples of 16 bytes"):
        cuda.forward(unaligned(x), w)
    with cuda.forced("simt"):
        assert cuda.generation(x, w) == "simt"
    with pytest.raises(ValueError, match="generation must be one of simt, mma"), cuda.forced("wgmma"):
        pass


@case
def backward_relu() -> None:
    for dtype in FLOATS:
        for wrap in (np.copy, unaligned):
            dy, y = wrap(normal(70, 59, dtype=dtype)), wrap(np.maximum(normal(70, 59, dtype=dtype, seed=1), 0))
            np.testing.assert_array_equal(
                cuda.backward_activation(dy, y, "relu"), reference.backward_activation(dy, y, "relu")
            )
    dy, z = normal(3, 5), normal(3, 5, seed=1)
    exact = reference.backward_activation(wide(dy), wide(z), "gelu")
    assert_within(cuda.backward_activation(dy, z, "gelu"), exact, 40 * U * np.abs(wide(dy)), "gelu")


@case
def backward_bias() -> None:
    for dtype in FLOATS:
        for m, n in ((1, 1), (7, 70), (601, 33)):
            dy, db = normal(m, n, dtype=dtype), normal(n)
            bound = (m / 8 + 16) * U * (np.abs(wide(dy)).sum(axis=0) + np.abs(wide(db)))
            before = wide(db)
            assert_within(cuda.backward_bias(dy), wide(dy).sum(axis=0), bound, f"{dtype} {m, n}")
            got = cuda.backward_bias(dy, out=db, accumulate=True)
            assert got is db
            assert_within(got, before + wide(dy).sum(axis=0), bound, f"{dtype} {m, n}: added")


@case
def nothing_to_do() -> None:
    x, w, b = normal(0, 4), normal(3, 4), normal(3)
    y, _ = cuda.forward(x, w, b)
    assert y.shape == (0, 3)
    np.testing.assert_array_equal(cuda.backward_weight(y, x), np.zeros((3, 4)))
    np.testing.assert_array_equal(cuda.backward_bias(y), np.zeros(3))
    assert cuda.backward_activation(y, y, "relu").shape == (0, 3)
    np.testing.assert_array_equal(cuda.forward(normal(2, 0), normal(3, 0), b)[0], np.stack([b, b]))
