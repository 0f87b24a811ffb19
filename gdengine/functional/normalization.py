"""Normalisation layers' functions."""

from typing import Any

import numpy as np

from .. import kernels
from ..device import check_same
from ..precision import operand, sum_dtype
from ..tensor import Tensor, plainly_alike, record
from .elementwise import floating


def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """(x − mean) / √(var + eps) ⊙ weight + bias over the last axis: see `gdengine.kernels.layer_norm`.

    Args:
        x: ``(..., N)``.
        weight, bias: ``(N,)`` or None.

    Raises:
        ValueError: a shape does not fit.
        TypeError: the dtypes differ.
    """
    x = operand(floating(x))
    shape, dtype = x.shape, x.dtype
    if not shape or not shape[-1]:
        raise ValueError(f"layer_norm wants a last axis with elements to normalise over, got x of shape {shape}")
    w = None if weight is None else operand(weight)
    b = None if bias is None else operand(bias)
    _check("layer_norm", x, w, b)
    of_sums = (shape[-1:], sum_dtype(dtype))
    rows = x._array.reshape(-1, shape[-1])
    scale = None if w is None else w._array
    y, mean, rstd = kernels.layer_norm.forward(rows, scale, None if b is None else b._array, eps=eps)

    def backward(dy: Any, into: Any) -> None:
        (dx, add_x), (dw, add_w), (db, add_b) = into(0, shape, dtype), into(1, *of_sums), into(2, *of_sums)
        kernels.layer_norm.backward(
            dy.reshape(rows.shape),
            rows,
            scale,
            mean,
            rstd,
            dx=None if dx is None else dx.reshape(rows.shape),
            dw=dw,
            db=db,
            accumulate=(add_x, add_w, add_b),
        )

    keeps = (x,) if w is None else (x, w)
    return record("layer_norm", y.reshape(shape), (x, w, b), backward, keeps=keeps, direct=True)


def rms_norm(x: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    """x / √(mean(x²) + eps) ⊙ weight over the last axis: see `gdengine.kernels.rms_norm`.

    Args:
        x: ``(..., N)``.
        weight: ``(N,)`` or None.
        eps: the spacing of numbers about 1 in the dtype that sums have unless given, as PyTorch's.

    Raises:
        ValueError: a shape does not fit.
        TypeError: the dtypes differ.
    """
    x = operand(floating(x))
    if not x.shape or not x.shape[-1]:
        raise ValueError(f"rms_norm wants a last axis with elements to normalise over, got x of shape {x.shape}")
    w = None if weight is None else operand(weight)
    _check("rms_norm", x, w)
    shape, dtype, wide = x.shape, x.dtype, sum_dtype(x.dtype)
    rows, scale = x._array.reshape(-1, shape[-1]), None if w is None else w._array
    y, rstd = kernels.rms_norm.forward(rows, scale, eps=float(np.finfo(wide).eps) if eps is None else eps)

    def backward(dy: Any, into: Any) -> None:
        (dx, add_x), (dw, add_w) = into(0, shape, dtype), into(1, shape[-1:], wide)
        dx = None if dx is None else dx.reshape(rows.shape)
        kernels.rms_norm.backward(dy.reshape(rows.shape), rows, scale, rstd, dx=dx, dw=dw, accumulate=(add_x, add_w))

    keeps = (x,) if w is None else (x, w)
    return record("rms_norm", y.reshape(shape), (x, w), backward, keeps=keeps, direct=True)


def _check(function: str, x: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> None:
    """Raise unless weight and bias, where given, have the size of x's last axis, its dtype and its device."""
    size = x.shape[-1:]
    fit = (weight is None or weight.shape == size) and (bias is None or bias.shape == size)
    if fit and plainly_alike(x, weight, bias):
        return
    given = {name: part for name, part in (("weight", weight), ("bias", bias)) if part is not None}
    for name, part in given.items():
        if part.shape != size:
            raise ValueError(f"{function} of x {x.shape} wants a {name} of shape {size}, got {part.shape}")
        if part.dtype != x.dtype:
            raise TypeError(f"{function} wants one dtype, got x {x.dtype} and {name} {part.dtype}")
    check_same(function, x=x._array, **{name: part._array for name, part in given.items()})
