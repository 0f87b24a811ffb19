"""How many threads NumPy's matrix product takes: a setting of OpenBLAS, reached through NumPy itself.

Kernels multiply themselves (`sgemm`); this is for what calls ``numpy.matmul`` (`products`). The symbols are looked up
in NumPy's extension module, whose look-up searches the libraries that it depends on. What NumPy is linked with
elsewhere (MKL, Accelerate) is not looked for: it keeps its own number of threads.
"""

import ctypes
from functools import cache
from typing import Any, NamedTuple

from numpy._core import _multiarray_umath

# What surrounds the names of the functions.
NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")  # NumPy's wheels; distributions


class Blas(NamedTuple):
    """How to set and get the number of threads, for the whole process."""

    set_num_threads: Any
    get_num_threads: Any


@cache
def find() -> Blas | None:
    """NumPy's own library, where it is OpenBLAS; else None. The same answer for the life of the process.

    (PyDLL: keep the GIL, these calls take nanoseconds.)
    """
    handle = ctypes.PyDLL(_multiarray_umath.__file__)
    for name in NAMES:
        try:
            set_number, get_number = (getattr(handle, name.format(f"{verb}_num_threads")) for verb in ("set", "get"))
        except AttributeError:
            continue
        set_number.argtypes, set_number.restype = (ctypes.c_int,), None
        return Blas(set_number, get_number)
    return None


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
