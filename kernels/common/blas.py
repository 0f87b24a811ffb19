"""The single-precision matrix product of the BLAS that NumPy itself is linked with, found through NumPy.

Kernels call it inside their parallel loops, on whole ranges of rows, with BLAS kept to one thread. There must be one
pool of threads: with OpenBLAS's own pool beside Numba's, the two take the cores from each other (a GPT step that takes
30 ms took 300 ms). They call a copy of the library (`blas_copy`), or where there is none the library itself, whose
number of threads is then set for the length of a kernel and put back.

The symbols are looked up in NumPy's extension module, whose look-up searches the libraries that it depends on. A
library counts as usable when it is OpenBLAS, built for threads (other builds may not be called by several at once), and
a few small products come out right. What NumPy links with elsewhere (MKL, Accelerate) is not looked for: kernels then
take their products from `numpy.matmul`.
"""

import ctypes
import itertools
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy._core import _multiarray_umath

from . import blas_copy

# The product's name, and what surrounds the names that set and get the number of threads.
NAMES = (
    ("scipy_cblas_sgemm64_", "scipy_openblas_{}64_"),  # NumPy's wheels
    ("scipy_cblas_sgemm", "scipy_openblas_{}"),
    ("cblas_sgemm64_", "openblas_{}64_"),
    ("cblas_sgemm", "openblas_{}"),  # distributions
)

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # from cblas.h

# Sizes and strides are passed with 64 bits. A library that takes 32 reads the lower half of the same register or stack
# slot, on every 64-bit platform that Numba has; `_multiplies` tries just this call.
_SIZE, _FLOAT, _POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
ARGUMENTS = (
    *(ctypes.c_int32, ctypes.c_int32, ctypes.c_int32, _SIZE, _SIZE, _SIZE),  # order, transpose A, B; m, n, k
    *(_FLOAT, _POINTER, _SIZE, _POINTER, _SIZE, _FLOAT, _POINTER, _SIZE),  # alpha, A, lda, B, ldb, beta, C, ldc
)


class Blas(NamedTuple):
    """A usable library: the product, how to set and get the number of threads (for the whole process), and the name of
    the processor whose code it runs."""

    sgemm: Any
    set_num_threads: Any
    get_num_threads: Any
    core: str


@cache
def find() -> Blas | None:
    """NumPy's own library, where it is usable; else None. The same answer for the life of the process."""
    return _usable(ctypes.PyDLL(_multiarray_umath.__file__))


@cache
def for_kernels() -> Blas | None:
    """The library that kernels call: a copy of NumPy's, or where there is none that library itself."""
    library = find()
    handle = library and blas_copy.load(library.sgemm)
    copy = handle and _usable(handle)
    # (Where a program loaded the library for all to see, a copy's calls end up in that one, whose threads they change.)
    return copy if copy and copy.get_num_threads() == 1 else library


@cache
def is_shared() -> bool:
    """Whether kernels call NumPy's own library, and so have to set its number of threads."""
    return for_kernels() is find()


def _usable(handle: ctypes.PyDLL) -> Blas | None:
    """The first of the known names that are there, if that product comes out right.

    (PyDLL: keep the GIL, these calls take nanoseconds.)
    """
    for product, other in NAMES:
        try:
            sgemm = getattr(handle, product)
            set_number, get_number, core, is_threaded = (
                getattr(handle, other.format(name))
                for name in ("set_num_threads", "get_num_threads", "get_corename", "get_parallel")
            )
        except AttributeError:
            continue
        sgemm.argtypes, sgemm.restype = ARGUMENTS, None
        set_number.argtypes, set_number.restype = (ctypes.c_int,), None
        core.restype = ctypes.c_char_p
        if is_threaded() and _multiplies(sgemm):
            return Blas(sgemm, set_number, get_number, core().decode())
    return None


def usable() -> bool:
    """Whether kernels multiply matrices with such a library; if not, with `numpy.matmul`."""
    return find() is not None


def use_threads(n: int) -> int:
    """Let NumPy's library use ``n`` threads from here on; returns the number before, for a call that puts it back.

    The setting is process-wide: a product that another Python thread begins meanwhile runs on ``n`` threads too, and a
    change that it makes meanwhile is lost. A call reads or writes one number (0.3 µs). Without a library, nothing.
    """
    blas = find()
    if blas is None:
        return n
    before = blas.get_num_threads()
    if before != n:
        blas.set_num_threads(n)
    return before


def _multiplies(sgemm: Any) -> bool:
    """Whether the product comes out right: transposed or not, single rows and columns, and over what held NaN."""
    numbers = (np.arange(64).reshape(2, 32) % 9 - 4).astype(np.float32)
    sizes, flags, betas = ((3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 5, 0)), (False, True), (0.0, 1.0)
    for (m, n, k), transpose_a, transpose_b, beta in itertools.product(sizes, flags, flags, betas):
        a = numbers[0, : m * k].reshape((k, m) if transpose_a else (m, k))
        b = numbers[1, : k * n].reshape((n, k) if transpose_b else (k, n))
        c = np.full((m, n), beta or np.nan, np.float32)
        left, right = (TRANSPOSED if transpose_a else PLAIN), (TRANSPOSED if transpose_b else PLAIN)
        lda, ldb = max(a.shape[1], 1), max(b.shape[1], 1)
        sgemm(ROW_MAJOR, left, right, m, n, k, 1.0, a.ctypes.data, lda, b.ctypes.data, ldb, beta, c.ctypes.data, n)
        if not np.array_equal(c, (a.T if transpose_a else a) @ (b.T if transpose_b else b) + np.float32(beta)):
            return False
    return True
