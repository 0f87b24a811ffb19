"""The affine map of a layer."""

import math
from typing import Any

from .. import kernels
from ..device import check_same
from ..kernels.common.store import store
from ..precision import operand
from ..tensor import Tensor, record


def linear(x: Any, weight: Any, bias: Any = None, *, activation: str | None = None, residual: Any = None) -> Tensor:
    """Y = act(X·Wᵀ + b) + residual, over the last axis of X.

    Args:
        x: ``(..., in)``.
        weight: ``(out, in)``.
        bias: ``(out,)`` or None.
        activation: None, ``"relu"`` or ``"gelu"`` (tanh form), in the same pass.
        residual: ``(..., out)``, added in the same pass; not together with an activation.

    Backward, with dZ = dY ⊙ act'(Z): dX = dZ·W, dW = dZᵀ·X, db = Σ dZ, d(residual) = dY.

    Raises:
        ValueError: a shape does not fit, or the activation is not known.
        TypeError: the dtypes differ.
    """
    x, w = operand(x), operand(weight)
    b = None if bias is None else operand(bias)
    r = None if residual is None else operand(residual)
    _check(x, w, b, r, activation)
    m, out = math.prod(x.shape[:-1]), w.shape[0]
    rows = x._array.reshape(m, w.shape[1])
    y, saved = kernels.linear.forward(
        rows,
        w._array,
        None if b is None else b._array,
        activation=activation,
        residual=None if r is None else r._array.reshape(m, out),
    )
    kept_rows = rows if w.requires_grad else None
    kept_weight = w._array if x.requires_grad else None
    x_shape, w_shape, dtype = x.shape, w.shape, x.dtype

    def backward(dy: Any, into: Any) -> None:
        dz = dy.reshape(m, out)
        dr, accumulate = into(3, dy.shape, dtype)
        if dr is not None:
            store(dy, dr, accumulate)
        if activation is not None:
            dz = kernels.linear.backward_activation(dz, saved, activation)
        dx, accumulate = into(0, x_shape, dtype)
        if dx is not None:
            kernels.linear.backward_input(dz, kept_weight, out=dx.reshape(m, w_shape[1]), accumulate=accumulate)
        dw, accumulate = into(1, w_shape, dtype)
        if dw is not None:
            kernels.linear.backward_weight(dz, kept_rows, out=dw, accumulate=accumulate)
        db, accumulate = into(2, (out,), dtype)
        if db is not None:
            kernels.linear.backward_bias(dz, out=db, accumulate=accumulate)

    keeps = (*((w,) * x.requires_grad), *((x,) * w.requires_grad))
    return record(
        "linear",
        y.reshape(*x_shape[:-1], out),
        (x, w, b, r),
        backward,
        keeps=keeps,
        keeps_output=activation == "relu",
        direct=True,
    )


def _check(x: Tensor, w: Tensor, b: Tensor | None, r: Tensor | None, activation: str | None) -> None:
    if activation not in kernels.linear.ACTIVATIONS:
        raise ValueError(f"linear knows the activations {kernels.linear.ACTIVATIONS}, not {activation!r}")
    if w.ndim != 2:
        raise ValueError(f"linear wants a weight of shape (out, in), got {w.shape}")
    if x.ndim < 1 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"linear got x of shape {x.shape} and a weight of shape {w.shape}, (out, in): x's last axis must be "
            f"{w.shape[1]}"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"linear wants a bias of shape {w.shape[:1]} with a weight of shape {w.shape}, got {b.shape}")
    if r is not None and r.shape != (*x.shape[:-1], w.shape[0]):
        raise ValueError(f"linear adds a residual of shape {(*x.shape[:-1], w.shape[0])}, got {r.shape}")
    given = {"x": x, "weight": w, "bias": b, "residual": r}
    check_same("linear", **{name: None if t is None else t._array for name, t in given.items()})
    dtypes = {name: t.dtype.name for name, t in given.items() if t is not None}
    if len(set(dtypes.values())) > 1:
        found = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"linear wants one dtype, got {found}: convert some, as in x.to({w.dtype.name!r})")
