"""Spread, norms and log-sums over axes. ``dim`` and ``keepdim`` may be given as NumPy's ``axis`` and ``keepdims``.

What is bfloat16 is computed on in float32, and the result rounded once.
"""

import math
from typing import Any

import numpy as np

from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, record
from .elementwise import floating
from .reductions import Dims, axes_of, kept


def var(
    x: Any,
    dim: Dims = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
    axis: Dims = None,
    keepdims: bool = False,
) -> Tensor:
    """Σ (x − mean)² / (n − correction) over ``dim``. Backward: 2·dy ⊙ (x − mean) / (n − correction).

    ``correction`` is 1 as in PyTorch, for the variance of what the n were drawn from; NumPy's 0 is the spread of the n
    themselves (``np.var(x)`` of a tensor keeps to it).

    Raises:
        ValueError: there are not more than ``correction`` elements.
    """
    return _spread("var", x, dim, axis, correction, keepdim or keepdims)


def std(
    x: Any,
    dim: Dims = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
    axis: Dims = None,
    keepdims: bool = False,
) -> Tensor:
    """√`var`. Backward: dy ⊙ (x − mean) / ((n − correction)·std), 0 where std is 0."""
    return _spread("std", x, dim, axis, correction, keepdim or keepdims)


def _spread(name: str, x: Any, dim: Dims, axis: Dims, correction: float, keep: bool) -> Tensor:
    x = floating(x)
    dims, array, correction = axes_of(x, dim, axis), wide(x._array), float(correction)
    n, dtype = math.prod([x.shape[d] for d in dims]), x.dtype
    if n <= correction:
        raise ValueError(
            f"{name} over axes {dims} of a tensor of shape {x.shape} has {n} elements, and correction={correction:g} "
            "asks for more: pass correction=0 for the spread of the elements themselves"
        )
    centred = array - array.mean(axis=dims, keepdims=True)
    y = (centred * centred).sum(axis=dims, keepdims=True) / (n - correction)
    if name == "std":
        y = np.sqrt(y)

    def backward(dy: Any) -> tuple[Any]:
        dy = kept(wide(dy), dims, keep)
        if name == "var":
            return ((dy * (2 / (n - correction)) * centred).astype(dtype, copy=False),)
        flat = y == 0
        slope = dy * ~flat / (np.where(flat, y.dtype.type(1), y) * (n - correction))
        return ((slope * centred).astype(dtype, copy=False),)

    result = narrow(y if keep else y.squeeze(dims), x._array)
    return record(name, result, (x,), backward, keeps_output=name == "std")


def logsumexp(x: Any, dim: Dims = None, keepdim: bool = False, *, axis: Dims = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ over ``dim``, without overflow; −∞ where all are. Backward: dy ⊙ e^(x − y), 0 where all are −∞."""
    x = floating(x)
    dims, array, keep = axes_of(x, dim, axis), wide(x._array), keepdim or keepdims
    top = array.max(axis=dims, keepdims=True)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))
    with np.errstate(divide="ignore"):  # the logarithm of nothing
        y = top + np.log(np.exp(array - top).sum(axis=dims, keepdims=True))

    def backward(dy: Any) -> tuple[Any]:
        share = np.exp(array - np.where(y == -np.inf, y.dtype.type(0), y))
        return (narrow(kept(wide(dy), dims, keep) * share, x._array),)

    result = narrow(y if keep else y.squeeze(dims), x._array)
    return record("logsumexp", result, (x,), backward, keeps=(x,), keeps_output=True)


def norm(
    x: Any,
    p: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over ``dim``, the largest |x| for p = ∞: the norm of vectors, whatever the number of axes.

    Backward: dy ⊙ sign(x)·(|x| / y)^(p − 1), and for p = ∞ dy, shared by the largest. Where x or y is 0, it is 0,
    and not NaN.

    Raises:
        ValueError: p is not above 0.
    """
    x = floating(x)
    if not p > 0:
        raise ValueError(f"norm wants p > 0, or p = float('inf'), got {p!r}")
    dims, array, keep, p = axes_of(x, dim, axis), wide(x._array), keepdim or keepdims, float(p)
    size = np.abs(array)
    if p == math.inf:
        y = size.max(axis=dims, keepdims=True)
    elif p == 1:
        y = size.sum(axis=dims, keepdims=True)
    elif p == 2:
        y = np.sqrt((array * array).sum(axis=dims, keepdims=True))
    else:
        y = (size**p).sum(axis=dims, keepdims=True) ** (1 / p)

    def slope(dy: Any) -> Any:
        if p == 1:
            return dy * np.sign(array)
        if p == math.inf:
            at = size == y
            return dy / at.sum(axis=dims, keepdims=True, dtype=dy.dtype) * at * np.sign(array)
        one = y.dtype.type(1)
        divisor = np.where(y == 0, one, y)
        if p == 2:
            return dy / divisor * array
        share = np.where(array == 0, y.dtype.type(0), np.where(array == 0, one, size / divisor) ** (p - 1))
        return dy * share * np.sign(array)

    def backward(dy: Any) -> tuple[Any]:
        return (narrow(slope(kept(wide(dy), dims, keep)), x._array),)

    result = narrow(y if keep else y.squeeze(dims), x._array)
    return record("norm", result, (x,), backward, keeps=(x,), keeps_output=True)
