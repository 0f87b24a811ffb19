"""Sums, means and extremes over axes. ``dim`` and ``keepdim`` may be given as NumPy's ``axis`` and ``keepdims`` too.

What is bfloat16 is added up in float32, and the sum rounded once.
"""

from typing import Any

import numpy as np

from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, as_tensor, is_floating, record, wrap
from .elementwise import cast

Dims = int | tuple[int, ...] | list[int] | None


def sum(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """Σ x over ``dim`` (all axes when None). Backward: dy, repeated."""
    x = as_tensor(x)
    dims, keep = axes_of(x, dim, axis), keepdim or keepdims
    shape = x.shape

    def backward(dy: Any) -> tuple[Any]:
        return (np.broadcast_to(kept(dy, dims, keep), shape),)

    y = wide(x._array).sum(axis=dims, keepdims=keep)
    return record("sum", narrow(y, x._array) if is_floating(x.dtype) else y, (x,), backward)


def mean(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """Σ x / n over ``dim``; float32 of integers. Backward: dy / n, repeated.

    Raises:
        ValueError: there is nothing to take the mean of.
    """
    x = as_tensor(x)
    x = x if is_floating(x.dtype) else cast(x, np.float32)
    dims, keep = axes_of(x, dim, axis), keepdim or keepdims
    shape = x.shape
    n = int(np.prod([shape[d] for d in dims]))
    if n == 0:
        raise ValueError(f"the mean over axes {dims} of a tensor of shape {shape} is the mean of nothing")

    def backward(dy: Any) -> tuple[Any]:
        return (np.broadcast_to(kept(dy / n, dims, keep), shape),)

    return record("mean", narrow(wide(x._array).mean(axis=dims, keepdims=keep), x._array), (x,), backward)


def max(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """The largest values over ``dim``: values alone, as NumPy's (`argmax` says where). Backward: equals share dy."""
    return _extreme("max", np.max, x, dim if axis is None else axis, keepdim or keepdims)


def min(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """The smallest values over ``dim``, as `max`."""
    return _extreme("min", np.min, x, dim if axis is None else axis, keepdim or keepdims)


def _extreme(name: str, reduce: Any, x: Any, dim: Dims, keep: bool) -> Tensor:
    x = as_tensor(x)
    dims, array = axes_of(x, dim, None), x._array
    y = reduce(array, axis=dims, keepdims=True)

    def backward(dy: Any) -> tuple[Any]:
        at, dy = array == y, wide(dy)
        return (narrow(kept(dy, dims, keep) * at / at.sum(axis=dims, keepdims=True, dtype=dy.dtype), array),)

    return record(name, y if keep else y.squeeze(dims), (x,), backward, keeps=(x,), keeps_output=True)


def argmax(
    x: Any, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False
) -> Tensor:
    """Where the largest value stands (the first of equals): int64; no gradient. Of the flat tensor by default."""
    return _place(np.argmax, x, dim if axis is None else axis, keepdim or keepdims)


def argmin(
    x: Any, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False
) -> Tensor:
    """Where the smallest value stands, as `argmax`."""
    return _place(np.argmin, x, dim if axis is None else axis, keepdim or keepdims)


def _place(find: Any, x: Any, dim: int | None, keep: bool) -> Tensor:
    x = as_tensor(x)
    if dim is not None and x.ndim:
        axes_of(x, dim, None)  # raises where there is no such axis
    return wrap(find(x._array, axis=dim, keepdims=keep))


def any(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """Whether one element over ``dim`` is true (not 0): bool; no gradient."""
    x = as_tensor(x)
    return wrap(x._array.any(axis=axes_of(x, dim, axis), keepdims=keepdim or keepdims))


def all(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """Whether every element over ``dim`` is true (not 0): bool; no gradient."""
    x = as_tensor(x)
    return wrap(x._array.all(axis=axes_of(x, dim, axis), keepdims=keepdim or keepdims))


def axes_of(x: Tensor, dim: Dims, axis: Dims) -> tuple[int, ...]:
    """The axes meant, counted from the left."""
    chosen = dim if axis is None else axis
    if chosen is None:
        return tuple(range(x.ndim))
    axes = tuple(chosen) if isinstance(chosen, tuple | list) else (chosen,)
    for d in axes:
        if not -x.ndim <= d < x.ndim:
            raise IndexError(f"axis {d} of a tensor of shape {x.shape}: axes go from {-x.ndim} to {x.ndim - 1}")
    counted = tuple(d % x.ndim for d in axes)
    if len(set(counted)) != len(counted):
        raise ValueError(f"an axis twice in {axes} for a tensor of shape {x.shape}")
    return counted


def kept(dy: Any, dims: tuple[int, ...], keep: bool) -> Any:
    """dy with the reduced axes present, of size 1."""
    return dy if keep else np.expand_dims(dy, dims)
