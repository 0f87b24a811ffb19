"""The matrix product inside a kernel, for float32, on addresses: each thread of a kernel calls it for its own part.

Why not a BLAS: one that a program has loaded brings threads and settings of its own, which are everybody's; and for
what a kernel asks (64 to 512 rows, single heads of attention) its copies of both factors cost a tenth to a third of the
time. Here B is read where it stands (unless it is transposed, or its rows lie so far apart that the cache cannot hold
them beside each other), and A always is. On a core of a Zen 4, beside OpenBLAS's code for Zen, GFLOP/s:

    m, n, k                 A·B           A·Bᵀ          Aᵀ·B
    64, 32, 32           111 :  86      93 :  76      106 : 84
    256, 128, 512        116 : 107     109 : 107      116 : 107

An element's sum is taken in the order of k, `DEPTH` terms at a time, whatever its place in the result: how rows and
columns are shared among threads does not change a bit.
"""

import llvmlite.binding
from numba import float32, int64, njit, types
from numba.core.ccallback import CFunc
from numba.core.typing import signature

from .cache import cache_of
from .jit import jit
from .tile import FLIPPED, SHAPE, copy_row, flip, narrow_tile, read, room, tile, write

HEIGHT, WIDTH, COLUMNS = SHAPE.rows, SHAPE.width, SHAPE.columns

# So much of B is used for all rows of A before the next: 384 KB, which stay in a core's second cache.
DEPTH, BREADTH = 384, 256

# From so many floats to a row on, 4 KB, B's rows fall onto each other in the first cache: then they are copied, where
# rows of A enough make up for that.
FAR, MANY = 1024, 64

_packed, _last, _edge = room(DEPTH * BREADTH), room(DEPTH * COLUMNS), room(HEIGHT * COLUMNS)
_exact = njit(nogil=True, error_model="numpy")


def product(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, adds, c, ldc):
    """See `gemm`."""
    a_row, a_column = (1, lda) if transpose_a else (lda, 1)
    c_row, c_column = ldc, 1
    if m < HEIGHT and m < n and transpose_b and not transpose_a:  # (B·Aᵀ)ᵀ: the few rows need not fill a tile then
        m, n, a, a_row, b, ldb = n, m, b, ldb, a, lda
        c_row, c_column = 1, ldc
    packed, last, edge = _packed(), _last(), _edge()
    copied = transpose_b or (ldb >= FAR and m >= MANY)
    for p in range(0, max(k, 1), DEPTH):
        depth = min(DEPTH, k - p)
        keeps = adds if p == 0 else 1
        for j in range(0, n, BREADTH):
            breadth = min(BREADTH, n - j)
            whole = breadth // COLUMNS * COLUMNS
            here = b + 4 * (j * ldb + p if transpose_b else p * ldb + j)
            if copied:
                for u in range(0, whole, COLUMNS):
                    _copy(
                        transpose_b,
                        depth,
                        COLUMNS,
                        here + 4 * (u * ldb if transpose_b else u),
                        ldb,
                        packed + 4 * u * depth,
                    )
                b_row, b_next, first = COLUMNS, 4 * depth * COLUMNS, packed
            else:
                b_row, b_next, first = ldb, 4 * COLUMNS, here
            if whole < breadth:
                _copy(
                    transpose_b, depth, breadth - whole, here + 4 * (whole * ldb if transpose_b else whole), ldb, last
                )
            for i in range(0, m, HEIGHT):
                rows = min(HEIGHT, m - i)
                a_now = a + 4 * (i * a_row + p * a_column)
                c_now = c + 4 * (i * c_row + j * c_column)
                if rows == HEIGHT and c_column == 1:
                    for u in range(whole // COLUMNS):
                        to = c_now + 4 * u * COLUMNS
                        tile(depth, a_now, a_row, a_column, rows, first + u * b_next, b_row, alpha, keeps, to, c_row)
                else:
                    for u in range(whole // COLUMNS):
                        tile(depth, a_now, a_row, a_column, rows, first + u * b_next, b_row, alpha, 0, edge, COLUMNS)
                        _put(edge, rows, COLUMNS, keeps, c_now + 4 * u * COLUMNS * c_column, c_row, c_column)
                if whole < breadth:
                    if breadth - whole <= WIDTH:
                        narrow_tile(depth, a_now, a_row, a_column, rows, last, COLUMNS, alpha, 0, edge, COLUMNS)
                    else:
                        tile(depth, a_now, a_row, a_column, rows, last, COLUMNS, alpha, 0, edge, COLUMNS)
                    _put(edge, rows, breadth - whole, keeps, c_now + 4 * whole * c_column, c_row, c_column)


@_exact
def _copy(transpose, depth, columns, b, ldb, to):
    """Columns of B as `tile` (or `narrow_tile`, where they are that few) reads them, COLUMNS to a row, those that it
    reads besides 0."""
    if transpose:
        squares, deep = columns // FLIPPED * FLIPPED, depth // FLIPPED * FLIPPED
        for j in range(0, squares, FLIPPED):
            for p in range(0, deep, FLIPPED):
                flip(b + 4 * (j * ldb + p), ldb, to + 4 * (p * COLUMNS + j), COLUMNS)
        for j in range(columns):
            for p in range(deep if j < squares else 0, depth):
                write(to + 4 * (p * COLUMNS + j), read(b + 4 * (j * ldb + p)))
    elif columns == COLUMNS:
        for p in range(depth):
            copy_row(b + 4 * p * ldb, to + 4 * p * COLUMNS)
    else:
        for p in range(depth):
            for j in range(columns):
                write(to + 4 * (p * COLUMNS + j), read(b + 4 * (p * ldb + j)))
    for p in range(depth):
        for j in range(columns, WIDTH if columns <= WIDTH else COLUMNS):
            write(to + 4 * (p * COLUMNS + j), float32(0))


@_exact
def _put(edge, rows, columns, adds, c, c_row, c_column):
    """The part of a tile that is wanted into C, or added to it."""
    for i in range(rows):
        for j in range(columns):
            value, place = read(edge + 4 * (i * COLUMNS + j)), c + 4 * (i * c_row + j * c_column)
            write(place, read(place) + value if adds else value)


_ARGUMENTS = (*[int64] * 5, float32, *[int64] * 7)


def _compiled():
    """The product as a C function: compiled once, not again for each kernel that calls it."""
    function = CFunc(product, (_ARGUMENTS, types.void), {}, {"nogil": True, "error_model": "numpy"})
    function._cache = cache_of(product)
    function.compile()
    return function


# Compiled code names the function; the address behind the name is given before any code that names it is loaded.
_NAME = "gdengine_sgemm"
_function = _compiled()
llvmlite.binding.add_symbol(_NAME, _function.address)
_sgemm = types.ExternalFunction(_NAME, signature(types.void, *_ARGUMENTS))


@jit
def gemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """C = alpha·op(A)·op(B) + beta·C, row-major, with C of shape (m, n): k terms to a sum; beta is 0 or 1.

    a, b, c are addresses, as `at` gives them; lda, ldb, ldc the elements from one row to the next. C is not read when
    beta is 0.
    """
    if m > 0 and n > 0:
        _sgemm(int64(transpose_a), int64(transpose_b), m, n, k, float32(alpha), a, lda, b, ldb, int64(beta), c, ldc)


@jit
def at(matrix, i, j):
    """The address of element [i, j] of a C-contiguous float32 matrix."""
    return matrix.ctypes.data + 4 * (i * matrix.shape[1] + j)
