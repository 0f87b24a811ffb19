"""Matrix products."""

import math
from typing import Any

import numpy as np

from .. import kernels
from ..device import check_same
from ..tensor import Tensor, as_tensor, record
from .elementwise import matched, unbroadcast


def matmul(a: Any, b: Any) -> Tensor:
    """a @ b, batched over leading axes with broadcasting; a vector stands for a row (left) or a column (right).

    Backward, for matrices: dA = dY·Bᵀ, dB = Aᵀ·dY, each summed over the batch axes along which it was repeated.

    Raises:
        ValueError: the inner sizes differ, the batch axes do not broadcast, or an operand is a scalar.
    """
    x, y = matched(as_tensor(a), as_tensor(b))
    p, q = x._array, y._array
    check_same("matmul", a=p, b=q)
    product = _product(p, q)
    wants_x, wants_y = x.requires_grad, y.requires_grad
    at_x, at_y = (x.shape, x.dtype), (y.shape, y.dtype)
    rows = (p if p.ndim > 1 else p[None]) if wants_y else None
    columns = (q[:, None] if q.ndim == 1 else q) if wants_x else None

    def backward(dy: Any) -> tuple[Any, Any]:
        if len(at_x[0]) == 1:
            dy = np.expand_dims(dy, -1 if len(at_y[0]) == 1 else -2)
        if len(at_y[0]) == 1:
            dy = np.expand_dims(dy, -1)
        dx = dw = None
        if columns is not None:
            dx = _summed(kernels.matmul.forward(dy, columns.swapaxes(-1, -2)), at_x, vector_axis=-2)
        if rows is not None:
            dw = _weight_gradient(rows, dy) if len(at_y[0]) <= 2 else kernels.matmul.forward(rows.swapaxes(-1, -2), dy)
            dw = _summed(dw, at_y, vector_axis=-1)
        return dx, dw

    return record("matmul", product, (x, y), backward, keeps=(*((y,) * wants_x), *((x,) * wants_y)))


def _product(p: Any, q: Any) -> Any:
    try:
        return kernels.matmul.forward(p, q)
    except ValueError:
        raise ValueError(
            f"matmul of shapes {p.shape} and {q.shape}: the last axis of the first must equal the last but one of the "
            "second, and leading axes must broadcast. Exchange the last two with x.mT if one is transposed"
        ) from None


def _weight_gradient(rows: Any, dy: Any) -> Any:
    """Aᵀ·dY of a matrix B that served a whole batch: one product over all rows, and not one for each batch entry."""
    m = math.prod(rows.shape[:-1])
    return kernels.matmul.forward(rows.reshape(m, rows.shape[-1]).T, dy.reshape(m, dy.shape[-1]))


def _summed(gradient: Any, at: tuple[tuple[int, ...], Any], vector_axis: int) -> Any:
    shape, dtype = at
    if len(shape) == 1:
        gradient = np.squeeze(gradient, axis=vector_axis)
    return unbroadcast(gradient, shape, dtype)
