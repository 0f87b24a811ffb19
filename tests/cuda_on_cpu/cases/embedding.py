"""Embedding: rows are copied exactly; a row of the gradient is a sum in ascending order, one rounding a term."""

import numpy as np

from gdengine.kernels.embedding import cuda, reference

from . import FLOATS, U, assert_within, case, normal, unaligned, wide


@case
def forward() -> None:
    for dtype in FLOATS:
        for vocabulary, columns, shape in ((1, 1, (1,)), (50, 40, (3, 7)), (70, 133, (201,))):
            w = normal(vocabulary, columns, dtype=dtype)
            ids = np.random.default_rng(0).integers(0, vocabulary, shape)
            ids.flat[0] = vocabulary - 1
            np.testing.assert_array_equal(cuda.forward(w, ids), w[ids])
            np.testing.assert_array_equal(cuda.forward(unaligned(w), ids.astype(np.int32)), w[ids])


@case
def backward() -> None:
    for dtype in FLOATS:
        for vocabulary, columns, shape in ((1, 1, (1,)), (5, 40, (3, 17)), (300, 133, (61,)), (70_000, 8, (30,))):
            ids = np.random.default_rng(0).integers(0, vocabulary, shape)
            ids.flat[0] = vocabulary - 1
            dy = normal(*shape, columns, dtype=dtype)
            old = normal(vocabulary, columns, seed=1)
            in_order = reference.backward(dy.astype(np.float32), ids, out=old.copy())
            np.testing.assert_array_equal(cuda.backward(dy, ids, out=old.copy()), in_order)
            exact = reference.backward(wide(dy), ids, out=wide(old), accumulate=True)
            terms = reference.backward(np.abs(wide(dy)), ids, out=np.abs(wide(old)), accumulate=True)
            got = cuda.backward(dy, ids, out=old, accumulate=True)
            assert_within(got, exact, ids.size * U * terms, f"{dtype} {vocabulary} {columns} {shape}")


@case
def sort() -> None:
    """Stable, over several tiles and digits."""
    for n, bound in ((1, 1), (255, 2), (2048, 256), (5000, 70_000), (4100, 2**31 - 1)):
        keys = np.random.default_rng(n).integers(0, bound, n, np.int32)
        keys[-1] = bound - 1
        got, order = cuda.sort(keys, bound)
        expected = np.argsort(keys, kind="stable")
        np.testing.assert_array_equal(order, expected)
        np.testing.assert_array_equal(got, keys[expected])


@case
def ids_out_of_range() -> None:
    """They read as NaN and have no gradient; what stands beside the table is not touched (it would trap)."""
    for dtype in FLOATS:
        w, ids = normal(5, 40, dtype=dtype), np.array([4, 5, 0, -1, 2**40, 4])
        y = cuda.forward(w, ids)
        wrong = np.array([False, True, False, True, True, False])
        assert np.isnan(wide(y[wrong])).all()
        np.testing.assert_array_equal(y[~wrong], w[ids[~wrong]])
        dy, small = normal(4, 40, dtype=dtype), np.array([4, 5, -1, 2])
        dw = cuda.backward(dy, small, out=np.zeros((5, 40), np.float32))
        np.testing.assert_array_equal(dw[[2, 4]], dy[[3, 0]].astype(np.float32))
        assert not dw[[0, 1, 3]].any()
