"""The matrix product on the GPU.

Of one matrix B for a whole batch, in float32 or bfloat16: the linear layer's kernels, which read either operand as it
lies, transposed or not. Of a batch of matrices, or in another dtype: cuBLAS, by CuPy; a graph cannot capture that.
"""

import sys

import numpy as np

from ..common.device_arrays import SUFFIXES
from ..linear import cuda as linear


def forward(a, b):
    if a.dtype.name not in SUFFIXES or b.dtype != a.dtype or not a.ndim or b.ndim not in (1, 2):
        return _by_cublas(a, b)
    if a.shape[-1] != b.shape[0]:
        raise ValueError(f"matmul: the inner sizes of {a.shape} and {b.shape} differ")
    shape = (*a.shape[:-1], *b.shape[1:])
    return _matrices(_rows(a), b if b.ndim == 2 else b[:, None]).reshape(shape)


def _matrices(a, b):
    """A·B by the product that takes the operands as they lie."""
    if b.T.flags.c_contiguous and not b.flags.c_contiguous:
        return linear.forward(a, b.T)[0]
    if a.T.flags.c_contiguous and not a.flags.c_contiguous:
        return linear.backward_weight(a.T, b).astype(a.dtype, copy=False)
    return linear.backward_input(a, b)


def _rows(a):
    return a if a.ndim == 2 else a.reshape(-1, a.shape[-1]) if a.size else a.reshape(0, a.shape[-1])


def _by_cublas(a, b):
    cupy = sys.modules[type(a).__module__.split(".")[0]]
    if cupy.cuda.get_current_stream().is_capturing():
        raise RuntimeError(
            f"a product of {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)} goes through cuBLAS, which a graph "
            "cannot capture: of one matrix for the whole batch, in float32 or bfloat16, it can"
        )
    return np.matmul(a, b)
