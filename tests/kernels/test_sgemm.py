"""The matrix product that kernels are made of: against float64, and the same bits however it is shared out."""

import itertools
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("fused")

SIZES = [
    *itertools.product((1, 3, 8, 19), (1, 10, 32, 77), (0, 1, 30)),
    *((9, 70, 385), (40, 300, 800), (70, 1030, 9), (5, 64, 400), (1, 33, 1200)),
]
# With these a product is right for other processors' registers: of eight floats, and of four.
OTHERS = {"AVX2": "avx512", "SSE2": "avx fma f16c"}


@cache
def compiled():
    from numba import njit

    from gdengine.kernels.common.sgemm import gemm

    @njit
    def call(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        gemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)

    return call


def multiply(a, b, c, transpose_a=False, transpose_b=False, alpha=1.0, beta=0):
    """alpha·op(A)·op(B) + beta·C in C's place; the three may be parts of larger matrices."""
    k = a.shape[0] if transpose_a else a.shape[1]
    places = [part for array in (a, b) for part in (array.ctypes.data, array.strides[0] // 4)]
    compiled()(transpose_a, transpose_b, *c.shape, k, alpha, *places, beta, c.ctypes.data, c.strides[0] // 4)
    return c


def part(rng, rows, columns):
    """A matrix within a larger one that is full of NaN: what is read beside it shows."""
    whole = np.full((rows + 2, columns + 5), np.nan, np.float32)
    inside = whole[1 : 1 + rows, 3 : 3 + columns]
    inside[...] = rng.normal(size=(rows, columns))
    return inside


def check(m, n, k):
    rng = np.random.default_rng([m, n, k])
    for transpose_a, transpose_b, beta in itertools.product((False, True), (False, True), (0, 1)):
        a = part(rng, *((k, m) if transpose_a else (m, k)))
        b = part(rng, *((n, k) if transpose_b else (k, n)))
        c = part(rng, m, n)
        around = c.base.copy()
        left, right = ((x.T if flag else x).astype(float) for x, flag in ((a, transpose_a), (b, transpose_b)))
        expected = 0.5 * left @ right + (c if beta else 0)
        if not beta:
            c[...] = np.nan  # must not be read
        size = 0.5 * abs(left) @ abs(right) + (abs(c) if beta else 0)  # Higham 2002, section 3.1
        multiply(a, b, c, transpose_a, transpose_b, 0.5, beta)
        assert (abs(c - expected) <= (k + 2) * np.finfo(np.float32).eps * size).all()
        around[1 : 1 + m, 3 : 3 + n] = c
        np.testing.assert_array_equal(around, c.base)  # nothing beside it was written


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_agrees_with_float64(m, n, k):
    check(m, n, k)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_any_part_of_a_product_has_the_bits_of_the_whole(transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    m, n, k = 83, 1100, 500
    a = rng.normal(size=(k, m) if transpose_a else (m, k)).astype(np.float32)
    b = rng.normal(size=(n, k) if transpose_b else (k, n)).astype(np.float32)
    flags = transpose_a, transpose_b
    whole = multiply(a, b, np.empty((m, n), np.float32), *flags)
    for rows, columns in (((0, 8), (0, n)), ((3, 83), (40, 41)), ((80, 83), (1, 1100)), ((5, 70), (1033, 1100))):
        over, across = slice(*rows), slice(*columns)
        some = np.empty((rows[1] - rows[0], columns[1] - columns[0]), np.float32)
        multiply(a[:, over] if transpose_a else a[over], b[across] if transpose_b else b[:, across], some, *flags)
        np.testing.assert_array_equal(some, whole[over, across])


def test_what_is_not_finite_stays_in_its_row_and_column():
    a, b = np.ones((9, 40), np.float32), np.ones((40, 50), np.float32)
    a[8, 3], b[5, 49] = np.nan, np.inf
    c = multiply(a, b, np.empty((9, 50), np.float32))
    assert np.isnan(c[8]).all()
    assert np.isinf(c[:8, 49]).all()
    assert (c[:8, :49] == 40).all()


@pytest.mark.parametrize("processor", OTHERS)
def test_on_processors_with_other_registers(processor, tmp_path):
    from gdengine.kernels.common.tile import FEATURES, SHAPE, shape_for

    without = OTHERS[processor].split()
    kept = [f for f in FEATURES.split(",") if not any(f[1:].startswith(name) for name in without)]
    fewer = ",".join([*kept, *(f"-{f[1:]}" for f in FEATURES.split(",") if f not in kept)])
    if shape_for(fewer) == SHAPE:
        pytest.skip(f"these are this processor's own: {SHAPE}")
    environment = {**os.environ, "NUMBA_CPU_FEATURES": fewer, "NUMBA_CACHE_DIR": str(tmp_path)}
    code = f"import tests.kernels.test_sgemm as t; [t.check(*sizes) for sizes in {SIZES[::5]}]; print(t.shape())"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split() == [str(number) for number in shape_for(fewer)]


def shape():
    from gdengine.kernels.common.tile import SHAPE

    return " ".join(map(str, SHAPE))


def test_tiles_fit_into_registers():
    from gdengine.kernels.common.tile import shape_for

    for features, registers in (("+avx512f,+avx", 32), ("+avx2,+avx,-avx512f", 16), ("+sse2,-avx", 16), ("+neon", 32)):
        width, rows, vectors = shape_for(features)
        assert rows * vectors + vectors + 1 <= registers
        assert (width * vectors) % 8 == 0  # what `flip` takes at a time
