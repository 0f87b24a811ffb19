"""The matrix product inside a kernel: BLAS's sgemm, called from compiled code on addresses."""

import ctypes

import llvmlite.binding
from numba import float32, int32, int64, types

from . import blas
from .jit import jit

# Compiled code names the function; the address behind the name is given before any code is loaded. Without a usable
# library no kernel that names it is ever compiled or loaded.
_NAME = "gdengine_sgemm"
if blas.usable():
    llvmlite.binding.add_symbol(_NAME, ctypes.cast(blas.for_kernels().sgemm, ctypes.c_void_p).value)

_sizes, _strided = (int64, int64, int64), (int64, int64)  # an address and the stride of its rows
_sgemm = types.ExternalFunction(
    _NAME, types.void(int32, int32, int32, *_sizes, float32, *_strided, *_strided, float32, *_strided)
)


@jit
def gemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """C = alpha·op(A)·op(B) + beta·C, row-major, with C of shape (m, n): k terms to a sum.

    a, b, c are addresses, as `at` gives them; lda, ldb, ldc the elements from one row to the next. C is not read when
    beta is 0. (A range of 384 rows runs at 105 to 108 GFLOP/s on a core of a Zen 4, one of 64 rows at 96.)
    """
    if m > 0 and n > 0:
        first = int32(blas.TRANSPOSED if transpose_a else blas.PLAIN)
        second = int32(blas.TRANSPOSED if transpose_b else blas.PLAIN)
        _sgemm(
            *(int32(blas.ROW_MAJOR), first, second, m, n, k),
            *(float32(alpha), a, max(1, lda), b, max(1, ldb), float32(beta), c, max(1, ldc)),
        )


@jit
def at(matrix, i, j):
    """The address of element [i, j] of a C-contiguous float32 matrix."""
    return matrix.ctypes.data + 4 * (i * matrix.shape[1] + j)
