"""Normalisation of images and sequences by channel: over the batch, over groups of channels, over each channel."""

import math
from typing import Any

import numpy as np

from .. import kernels
from ..device import check_same
from ..kernels.common.store import store
from ..kernels.common.wide import narrow, wide
from ..precision import operand, sum_dtype
from ..recomputation import is_recomputing
from ..tape import no_grad
from ..tensor import Tensor, record
from .elementwise import floating


def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """(x − mean) / √(var + eps) ⊙ weight + bias, mean and var (divisor n) of each sample's groups of channels.

    (Wu and He 2018, equation 7.)

    Args:
        x: ``(N, C, ...)``.
        num_groups: how many groups the channels are cut into, of C / num_groups neighbours each.
        weight, bias: ``(C,)`` or None.

    Raises:
        ValueError: a shape does not fit.
        TypeError: the dtypes differ.
    """
    x, w, b = _operands("group_norm", x, weight, bias)
    channels, dtype = x.shape[1], x.dtype
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"group_norm cuts {channels} channels into num_groups={num_groups}: not evenly")
    if not x.size and math.prod(x.shape[1:]) == 0:
        raise ValueError(f"group_norm of x of shape {x.shape} has nothing to normalise over")
    shape, summed = x.shape, sum_dtype(dtype)
    rows = x._array.reshape(shape[0] * num_groups, math.prod(shape[1:]) // num_groups)
    y, mean, rstd = kernels.layer_norm.forward(rows, eps=eps)
    scale = None if w is None else _per_channel(w._array, x.ndim)
    y = _affine(y.reshape(shape), scale, None if b is None else _per_channel(b._array, x.ndim))
    axes = (0, *range(2, x.ndim))

    def backward(dy: Any, into: Any) -> None:
        (dx, add_x), (dw, add_w), (db, add_b) = (
            into(0, shape, dtype),
            into(1, shape[1:2], summed),
            into(2, shape[1:2], summed),
        )
        if dw is not None:
            normed = ((wide(rows) - mean[:, None]) * rstd[:, None]).reshape(shape)
            store((wide(dy) * normed).sum(axis=axes), dw, add_w)
        if db is not None:
            store(wide(dy).sum(axis=axes), db, add_b)
        if dx is not None:
            d = dy if scale is None else dy * scale
            kernels.layer_norm.backward(
                *(d.reshape(rows.shape), rows, None, mean, rstd),
                dx=dx.reshape(rows.shape),
                accumulate=(add_x, False, False),
            )

    return record("group_norm", y, (x, w, b), backward, keeps=(x,) if w is None else (x, w), direct=True)


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """`group_norm` with every channel a group (Ulyanov, Vedaldi and Lempitsky 2016): x ``(N, C, ...)``."""
    x = floating(x)
    return group_norm(x, x.shape[1] if x.ndim > 1 else 0, weight, bias, eps)


def batch_norm(
    x: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(var + eps) ⊙ weight + bias for each channel (Ioffe and Szegedy 2015, algorithm 1).

    While ``training``, mean and var (divisor n) are those of the batch, and the running ones follow, in place:
    running += momentum · (batch's − running), with the variance's divisor n − 1; once for each batch, also where
    `gdengine.checkpoint` computes it anew. Else the running ones are used.

    Args:
        x: ``(N, C, ...)``.
        running_mean, running_var: ``(C,)``, or None where ``training``.
        weight, bias: ``(C,)`` or None.

    Backward, with x̂ = (x − mean)·rstd, d = dy ⊙ weight and means over the channel: dx = rstd · (d − mean(d) −
    x̂ · mean(d ⊙ x̂)) while training, else rstd · d; dweight = Σ dy ⊙ x̂; dbias = Σ dy.

    Raises:
        ValueError: a shape does not fit; a batch of one value a channel to train on; no running statistics to use.
        TypeError: the dtypes differ.
    """
    x, w, b = _operands("batch_norm", x, weight, bias)
    shape, dtype, summed = x.shape, x.dtype, sum_dtype(x.dtype)
    n = shape[0] * math.prod(shape[2:])
    _check_running(shape[1], running_mean, running_var, training, n)
    axes, ndim, z = (0, *range(2, x.ndim)), x.ndim, wide(x._array)
    if training:
        mean = z.mean(axis=axes)
        centred = z - _per_channel(mean, ndim)
        var = (centred * centred).mean(axis=axes)
        _follow(running_mean, mean, momentum)
        _follow(running_var, var * (n / (n - 1)), momentum)
    else:
        assert running_mean is not None
        assert running_var is not None
        mean, var = (running._array.astype(z.dtype, copy=True) for running in (running_mean, running_var))
        centred = z - _per_channel(mean, ndim)
    rstd = 1 / np.sqrt(var + float(eps))
    scale = None if w is None else wide(w._array)
    y = _affine(centred * _per_channel(rstd if scale is None else rstd * scale, ndim), None, _spread(b, ndim))

    def backward(dy: Any, into: Any) -> None:
        (dx, add_x), (dw, add_w), (db, add_b) = (
            into(0, shape, dtype),
            into(1, shape[1:2], summed),
            into(2, shape[1:2], summed),
        )
        dy, normed = wide(dy), (wide(x._array) - _per_channel(mean, ndim)) * _per_channel(rstd, ndim)
        along, total = (dy * normed).sum(axis=axes), dy.sum(axis=axes)
        if dw is not None:
            store(along, dw, add_w)
        if db is not None:
            store(total, db, add_b)
        if dx is not None:
            d = dy
            if training:
                d = dy - _per_channel(total / n, ndim) - normed * _per_channel(along / n, ndim)
            store(narrow(d * _per_channel(rstd if scale is None else rstd * scale, ndim), dx), dx, add_x)

    return record(
        "batch_norm", narrow(y, x._array), (x, w, b), backward, keeps=(x,) if w is None else (x, w), direct=True
    )


def _operands(name: str, x: Any, weight: Any, bias: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
    x = operand(floating(x))
    if x.ndim < 2:
        raise ValueError(f"{name} wants x of shape (batch, channels, ...), got {x.shape}")
    w, b = (None if part is None else operand(part) for part in (weight, bias))
    for what, part in (("weight", w), ("bias", b)):
        if part is not None and part.shape != x.shape[1:2]:
            raise ValueError(f"{name} of x {x.shape} wants a {what} of shape {x.shape[1:2]}, got {part.shape}")
        if part is not None and part.dtype != x.dtype:
            raise TypeError(f"{name} wants one dtype, got x {x.dtype} and {what} {part.dtype}")
    check_same(name, x=x._array, **{k: None if p is None else p._array for k, p in (("weight", w), ("bias", b))})
    return x, w, b


def _check_running(channels: int, mean: Tensor | None, var: Tensor | None, training: bool, n: int) -> None:
    if (mean is None) != (var is None):
        raise ValueError("batch_norm wants running_mean and running_var, both or neither")
    if mean is None and not training:
        raise ValueError("batch_norm without running statistics can only use the batch's: pass training=True")
    for what, part in (("running_mean", mean), ("running_var", var)):
        if part is not None and part.shape != (channels,):
            raise ValueError(
                f"batch_norm of {channels} channels wants a {what} of shape ({channels},), got {part.shape}"
            )
    if training and n < 2:
        raise ValueError(f"batch_norm trains on two or more values a channel, got {n}: their variance is what it needs")


def _follow(running: Tensor | None, now: Any, momentum: float) -> None:
    if running is not None and not is_recomputing():
        with no_grad():
            running.copy_(running._array * (1 - momentum) + now * momentum)


def _per_channel(values: Any, ndim: int) -> Any:
    """(C,) beside (N, C, ...)."""
    return values.reshape(-1, *(1,) * (ndim - 2))


def _spread(part: Tensor | None, ndim: int) -> Any:
    return None if part is None else _per_channel(wide(part._array), ndim)


def _affine(y: Any, scale: Any, shift: Any) -> Any:
    if scale is not None:
        y = y * scale
    return y if shift is None else y + shift
