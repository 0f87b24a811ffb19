"""The matrix product inside a kernel, for float32, on addresses: each thread of a kernel calls it for its own part.

Why not a BLAS: one that a program has loaded brings threads and settings of its own, which are everybody's; and for
what a kernel asks (64 to 512 rows, single heads of attention) its copies of both factors cost a tenth to a third of the
time. Here B is read where it stands (unless it is transposed, or its rows lie so far apart that the cache cannot hold
them beside each other), and A always is. On a core of a Zen 4, beside OpenBLAS's code for Zen, GFLOP/s:

                                            A·B          A·Bᵀ         Aᵀ·B
    a head's, of 32 and 64               111 :  86     97 :  76     106 :  84
    a branch's, of 128, 256 and 512      115 : 106    112 : 106     115 : 105

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

_packed, _edge = room(DEPTH * BREADTH), room(HEIGHT * COLUMNS)
_exact = njit(nogil=True, error_model="numpy")


def product(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, adds, c, ldc):
    """See `gemm`."""
    a_row, a_column = (1, lda) if transpose_a else (lda, 1)
    b_row, b_column = (1, ldb) if transpose_b else (ldb, 1)
    c_row, c_column = ldc, 1
    if m < HEIGHT and m < n and a_column == 1 and b_row == 1:  # (Bᵀ·Aᵀ)ᵀ: the few rows need not fill a tile then
        m, n, a, a_row, b, b_column, c_row, c_column = n, m, b, b_column, a, a_row, 1, ldc
    packed, edge = _packed(), _edge()
    copies = b_column != 1 or (b_row >= FAR and m >= MANY)
    for p in range(0, max(k, 1), DEPTH):
        depth, keeps = min(DEPTH, k - p), adds if p == 0 else 1
        size = 4 * COLUMNS * depth
        for j in range(0, n, BREADTH):
            breadth = min(BREADTH, n - j)
            here = b + 4 * (p * b_row + j * b_column)
            for u in range(0, breadth, COLUMNS):
                columns = min(COLUMNS, breadth - u)
                if copies or columns < COLUMNS:
                    _copy(depth, columns, here + 4 * u * b_column, b_row, b_column, packed + u // COLUMNS * size)
            panel, row, following = (packed, COLUMNS, size) if copies else (here, b_row, 4 * COLUMNS)
            for i in range(0, m, HEIGHT):
                rows = min(HEIGHT, m - i)
                _row_of_tiles(
                    *(depth, rows, breadth, alpha, a + 4 * (i * a_row + p * a_column), a_row, a_column),
                    *(panel, row, following, packed + breadth // COLUMNS * size, edge, keeps),
                    *(c + 4 * (i * c_row + j * c_column), c_row, c_column),
                )


@_exact
def _row_of_tiles(
    k, rows, columns, alpha, a, a_row, a_column, panel, b_row, following, last, edge, adds, c, c_row, c_column
):
    """Up to HEIGHT rows of C, or of Cᵀ where c_row is 1.

    B comes in panels of COLUMNS columns, the first one's address, its rows', and how far it is to the following one;
    ``last`` is a copy of what is left of it.
    """
    for u in range(0, columns, COLUMNS):
        wanted, to = min(COLUMNS, columns - u), c + 4 * u * c_column
        is_whole = wanted == COLUMNS
        b, row = (panel + u // COLUMNS * following, b_row) if is_whole else (last, COLUMNS)
        in_place = is_whole and rows == HEIGHT and c_column == 1
        into, into_row, adds_into = (to, c_row, adds) if in_place else (edge, COLUMNS, 0)
        if wanted <= WIDTH:
            narrow_tile(k, a, a_row, a_column, rows, b, row, alpha, adds_into, into, into_row)
        else:
            tile(k, a, a_row, a_column, rows, b, row, alpha, adds_into, into, into_row)
        if not in_place:
            _put(edge, rows, wanted, adds, to, c_row, c_column)


@_exact
def _copy(depth, columns, b, b_row, b_column, to):
    """Columns of B as `tile` (or `narrow_tile`, where they are that few) reads them, COLUMNS to a row, those that it
    reads besides 0."""
    if b_column == 1 and columns == COLUMNS:
        for p in range(depth):
            copy_row(b + 4 * p * b_row, to + 4 * p * COLUMNS)
        return
    squares = columns // FLIPPED * FLIPPED if b_row == 1 else 0
    deep = depth // FLIPPED * FLIPPED
    for j in range(0, squares, FLIPPED):
        for p in range(0, deep, FLIPPED):
            flip(b + 4 * (j * b_column + p), b_column, to + 4 * (p * COLUMNS + j), COLUMNS)
    for p in range(depth):
        for j in range(squares if p < deep else 0, columns):
            write(to + 4 * (p * COLUMNS + j), read(b + 4 * (p * b_row + j * b_column)))
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
