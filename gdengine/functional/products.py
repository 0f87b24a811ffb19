"""Products over axes, and sums and products of all that come before.

What is bfloat16 is computed on in float32, and the result rounded once.
"""

import math
from typing import Any

import numpy as np

from ..device import namespace
from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, as_tensor, is_floating, record, wrap
from .reductions import Dims, axes_of, kept
from .shaping import axis_of, reshape


def prod(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """Π x over ``dim`` (all axes when None). Backward: dy times the product of the others, right with zeros too."""
    x = as_tensor(x)
    dims, array, keep = axes_of(x, dim, axis), wide(x._array), keepdim or keepdims
    y = array.prod(axis=dims, keepdims=keep)
    if not is_floating(x.dtype):
        return wrap(y)
    others = tuple([d for d in range(x.ndim) if d not in dims])
    order = (*others, *dims)
    shape = x.shape

    def backward(dy: Any) -> tuple[Any]:
        together = array.transpose(order)
        rows = together.reshape(*(shape[d] for d in others), math.prod([shape[d] for d in dims]))
        apart = (_before(rows) * _before(rows[..., ::-1])[..., ::-1]).reshape(together.shape)
        back = tuple(int(i) for i in np.argsort(order))
        return (narrow(kept(wide(dy), dims, keep) * apart.transpose(back), x._array),)

    return record("prod", narrow(y, x._array), (x,), backward, keeps=(x,))


def cumsum(x: Any, dim: int | None = None, *, axis: int | None = None) -> Tensor:
    """y_i = Σ_{j ≤ i} x_j along ``dim``; of the flat tensor where None. Backward: dx_j = Σ_{i ≥ j} dy_i."""
    x, at = _along(x, dim, axis)
    y = np.cumsum(wide(x._array), axis=at)
    if not is_floating(x.dtype):
        return wrap(y)

    def backward(dy: Any) -> tuple[Any]:
        return (narrow(_reversed(np.cumsum(_reversed(wide(dy), at), axis=at), at), dy),)

    return record("cumsum", narrow(y, x._array), (x,), backward)


def cumprod(x: Any, dim: int | None = None, *, axis: int | None = None) -> Tensor:
    """y_i = Π_{j ≤ i} x_j along ``dim``; of the flat tensor where None.

    Backward: dx_j = (Π_{i < j} x_i)·r_j with r_j = dy_j + x_{j+1}·r_{j+1}: no division, so that zeros are no exception;
    a step for each element of the axis.
    """
    x, at = _along(x, dim, axis)
    array = wide(x._array)
    y = np.cumprod(array, axis=at)
    if not is_floating(x.dtype):
        return wrap(y)

    def backward(dy: Any) -> tuple[Any]:
        dy = wide(dy)
        dx = namespace(dy).empty(dy.shape, dy.dtype)
        rows, values, out = (np.swapaxes(a, at, -1) for a in (array, dy, dx))
        n = rows.shape[-1]
        rest: Any = 0
        for j in range(n - 1, -1, -1):
            rest = values[..., j] + (rows[..., j + 1] * rest if j + 1 < n else 0)
            out[..., j] = rest
        out[...] = out * _before(rows)
        return (narrow(dx, x._array),)

    return record("cumprod", narrow(y, x._array), (x,), backward, keeps=(x,))


def _along(x: Any, dim: int | None, axis: int | None) -> tuple[Tensor, int]:
    x = as_tensor(x)
    chosen = dim if axis is None else axis
    if chosen is None or x.ndim == 0:
        return reshape(x, -1), 0
    return x, axis_of(x, chosen)


def _before(rows: Any) -> Any:
    """Π of all that stand before each element of the last axis; 1 for the first."""
    products = namespace(rows).ones(rows.shape, rows.dtype)
    if rows.shape[-1] > 1:
        products[..., 1:] = np.cumprod(rows[..., :-1], axis=-1)
    return products


def _reversed(array: Any, axis: int) -> Any:
    return array[(*[slice(None)] * axis, slice(None, None, -1))]
