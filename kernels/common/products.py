"""NumPy's matrix product, on as many BLAS threads as kernels use: so that number alone fixes the bits here too."""

from typing import Any

import numpy as np

from ..threads import get_num_threads
from . import blas


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """``np.matmul``. The host program's number of BLAS threads is put back afterwards."""
    before = blas.use_threads(get_num_threads())
    try:
        return np.matmul(a, b, out=out)
    finally:
        blas.use_threads(before)
