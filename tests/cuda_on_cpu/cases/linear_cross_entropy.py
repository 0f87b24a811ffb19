"""A head's cross-entropy, in several chunks of rows.

A logit is a sum of k products, off by k·u·Σ|terms|, and in bfloat16 rounded to 2⁻⁹ of itself; a loss by two of those,
and by a few roundings of the exponentials' sum. dZ ≤ |dloss| is off by what its logits are off by, times itself, and
rounded again; dX and dW sum n or m of them.
"""

import numpy as np

from gdengine.kernels.linear_cross_entropy import cuda, reference

from . import BF16, FLOATS, U, assert_within, case, normal, wide

M, N, K, ROWS, IGNORED = 75, 61, 24, 32, -100


def given(dtype):
    x, w, b = normal(M, K, dtype=dtype, seed=1), normal(N, K, dtype=dtype, seed=2), normal(N, dtype=dtype, seed=3)
    targets = (np.arange(M) * 7 + 3) % N
    targets[[0, 40, 74]] = IGNORED
    return x, w, b, targets, np.abs(normal(M, seed=4)) + 0.5


def logit_bound(x, w, b):
    """How far a logit is off at most, a number a row."""
    size = np.abs(wide(x)) @ np.abs(wide(w)).T + np.abs(wide(b))
    rounded = 2.0**-9 if x.dtype == BF16 else 0
    return ((K + 4) * U * size).max(axis=1) + rounded * size.max(axis=1)


def exact(x, w, b, targets, dlosses):
    wides = [wide(a) for a in (x, w, b)]
    dx, dw, db = np.empty((M, K)), np.empty((N, K)), np.empty(N)
    losses = reference.backward(wide(dlosses), *wides[:2], targets, wides[2], dx=dx, dw=dw, db=db)
    return losses, dx, dw, db


@case
def losses():
    for dtype in FLOATS:
        x, w, b, targets, dlosses = given(dtype)
        off = logit_bound(x, w, b)
        expected = exact(x, w, b, targets, dlosses)[0]
        bound = 2 * off + 40 * U * (1 + np.abs(expected))
        assert_within(cuda.forward(x, w, targets, b, rows=ROWS), expected, bound, f"losses {dtype}")
        got = cuda.backward(dlosses, x, w, targets, b, rows=ROWS)
        assert_within(got, expected, bound, f"losses with gradients {dtype}")
        assert (got[targets == IGNORED] == 0).all()


@case
def gradients():
    for dtype, added in ((dtype, added) for dtype in FLOATS for added in (False, True)):
        x, w, b, targets, dlosses = given(dtype)
        before = [normal(M, K, dtype=dtype, seed=6), normal(N, K, seed=7), normal(N, seed=8)]
        dx, dw, db = (array.copy() for array in before)
        cuda.backward(dlosses, x, w, targets, b, dx=dx, dw=dw, db=db, accumulate=(added,) * 3, rows=ROWS)
        _, *expected = exact(x, w, b, targets, dlosses)
        rounded = 2.0**-8 if dtype == BF16 else 8 * U
        off = (2 * logit_bound(x, w, b) + rounded + 40 * U)[:, None]
        dz = np.abs(wide(dlosses))[:, None] * 2  # its sum over a row, at most: of p, and of the one
        bounds = (
            (off + (N + 8) * U) * dz * np.abs(wide(w)).max(),
            np.full((N, K), ((off + (M + 8) * U) * dz).sum() * np.abs(wide(x)).max()),
            np.full(N, ((off + (M + 8) * U) * dz).sum()),
        )
        for got, right, bound, old, name in zip(
            (dx, dw, db), expected, bounds, before, ("dx", "dw", "db"), strict=True
        ):
            right = right + (wide(old) if added else 0)
            assert_within(got, right, bound + 4 * U * np.abs(wide(old)), f"{name} {dtype} {added}")


@case
def gradients_are_close():
    """The bounds above are worst cases of sums; a mean over many elements shows what they would let through."""
    for dtype, limit in zip(FLOATS, (1e-6, 2.0**-7), strict=True):
        x, w, b, targets, dlosses = given(dtype)
        dx, dw, db = np.empty((M, K), dtype), np.empty((N, K), np.float32), np.empty(N, np.float32)
        cuda.backward(dlosses, x, w, targets, b, dx=dx, dw=dw, db=db, rows=ROWS)
        for got, right in zip((dx, dw, db), exact(x, w, b, targets, dlosses)[1:], strict=True):
            off = np.linalg.norm(wide(got) - right) / np.linalg.norm(right)
            assert off < limit, f"{dtype}: {off}"
        only = np.empty((M, K), dtype)
        cuda.backward(dlosses, x, w, targets, b, dx=only, rows=ROWS)
        assert only.tobytes() == dx.tobytes()


@case
def no_such_class_and_no_rows():
    x, w, b, targets, dlosses = given(np.dtype(np.float32))
    targets[5] = N
    dx = np.empty_like(x)
    got = cuda.backward(dlosses, x, w, targets, b, dx=dx, rows=ROWS)
    assert np.isnan(got).tolist() == np.isnan(dx).all(axis=1).tolist() == (targets == N).tolist()
    dw = normal(N, K)
    assert cuda.backward(dlosses[:0], x[:0], w, targets[:0], dw=dw).shape == (0,)
    assert (dw == 0).all()
