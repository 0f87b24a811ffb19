"""The affine map of a layer, and two of them with an activation between."""

import math
from typing import Any

import numpy as np

from .. import kernels
from ..device import check_same
from ..kernels.common.store import store
from ..precision import bfloat16, operand
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
    _check_activation("linear", activation, kernels.linear.ACTIVATIONS)
    check_affine("linear", x.shape, w, b)
    if r is not None and r.shape != (*x.shape[:-1], w.shape[0]):
        raise ValueError(f"linear adds a residual of shape {(*x.shape[:-1], w.shape[0])}, got {r.shape}")
    check_alike("linear", x=x, weight=w, bias=b, residual=r)
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
        _store_parameters(dz, kept_rows, into, 1, w_shape, dtype)

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


def feed_forward(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, *, activation: str = "gelu") -> Tensor:
    """Y = act(X·W₁ᵀ + b₁)·W₂ᵀ + b₂, over the last axis of X: a transformer's MLP, as one node of the tape.

    Args:
        x: ``(..., in)``.
        w1: ``(hidden, in)``.
        b1: ``(hidden,)`` or None.
        w2: ``(out, hidden)``.
        b2: ``(out,)`` or None.
        activation: ``"relu"`` or ``"gelu"`` (tanh form).

    Backward, with U = X·W₁ᵀ + b₁ and H = act(U): dU = (dY·W₂) ⊙ act'(U) in one pass: dH never stands in memory, as it
    does between two calls of `linear`. The rest is as there, with dY and H for W₂ and b₂, dU and X for W₁, b₁ and X.

    Raises:
        ValueError: a shape does not fit, or the activation is not known.
        TypeError: the dtypes differ.
    """
    x, w1, w2 = operand(x), operand(w1), operand(w2)
    b1, b2 = (None if b is None else operand(b) for b in (b1, b2))
    _check_activation("feed_forward", activation, kernels.linear.ACTIVATIONS[1:])
    check_affine("feed_forward", x.shape, w1, b1, ("x", "w1", "b1"))
    check_affine("feed_forward", (*x.shape[:-1], w1.shape[0]), w2, b2, ("hidden values", "w2", "b2"))
    check_alike("feed_forward", x=x, w1=w1, b1=b1, w2=w2, b2=b2)
    (hidden, width), out, m = w1.shape, w2.shape[0], math.prod(x.shape[:-1])
    rows = x._array.reshape(m, width)
    h, saved = kernels.linear.forward(rows, w1._array, None if b1 is None else b1._array, activation=activation)
    y, _ = kernels.linear.forward(h, w2._array, None if b2 is None else b2._array)
    below = x.requires_grad or w1.requires_grad or (b1 is not None and b1.requires_grad)
    kept_rows = rows if w1.requires_grad else None
    kept_h = h if w2.requires_grad else None
    kept_w1 = w1._array if x.requires_grad else None
    kept_w2, kept_saved = (w2._array, saved) if below else (None, None)
    x_shape, dtype = x.shape, x.dtype

    def backward(dy: Any, into: Any) -> None:
        dy = dy.reshape(m, out)
        _store_parameters(dy, kept_h, into, 3, (out, hidden), dtype)
        if not below:
            return
        du = kernels.linear.backward_input(dy, kept_w2, activation=activation, saved=kept_saved)
        dx, accumulate = into(0, x_shape, dtype)
        if dx is not None:
            kernels.linear.backward_input(du, kept_w1, out=dx.reshape(m, width), accumulate=accumulate)
        _store_parameters(du, kept_rows, into, 1, (hidden, width), dtype)

    keeps = (*((x,) * w1.requires_grad), *((w1,) * x.requires_grad), *((w2,) * below))
    return record(
        "feed_forward", y.reshape(*x_shape[:-1], out), (x, w1, b1, w2, b2), backward, keeps=keeps, direct=True
    )


def _store_parameters(dz: Any, rows: Any, into: Any, i: int, shape: tuple[int, ...], dtype: Any) -> None:
    """Write dW = dZᵀ·X and db = Σ dZ of the inputs ``i`` and ``i + 1``, in one pass where both are wanted.

    Those of bfloat16 operands are float32: as are their sums, and g.
    """
    wide = np.float32 if dtype == bfloat16 else dtype
    dw, accumulate = into(i, shape, wide)
    db, accumulate_db = into(i + 1, shape[:1], wide)
    if dw is not None:
        kernels.linear.backward_weight(dz, rows, out=dw, accumulate=accumulate, db=db, accumulate_db=accumulate_db)
    elif db is not None:
        kernels.linear.backward_bias(dz, out=db, accumulate=accumulate_db)


def _check_activation(function: str, activation: str | None, known: tuple[str | None, ...]) -> None:
    if activation not in known:
        raise ValueError(f"{function} knows the activations {known}, not {activation!r}")


def check_affine(
    function: str,
    x: tuple[int, ...],
    w: Tensor,
    b: Tensor | None,
    names: tuple[str, str, str] = ("x", "weight", "bias"),
) -> None:
    """Raise unless the shape ``x``, the weight and the bias fit; ``names`` is what messages call them."""
    if w.ndim != 2:
        raise ValueError(f"{function} wants a {names[1]} of shape (out, in), got {w.shape}")
    if len(x) < 1 or x[-1] != w.shape[1]:
        raise ValueError(
            f"{function} got {names[0]} of shape {x} and a {names[1]} of shape {w.shape}, (out, in): the last axis of "
            f"{names[0]} must be {w.shape[1]}"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(
            f"{function} wants a {names[2]} of shape {w.shape[:1]} with a {names[1]} of shape {w.shape}, got {b.shape}"
        )


def check_alike(function: str, **tensors: Tensor | None) -> None:
    """Raise unless all tensors (None aside) live on one device and have one dtype."""
    given = {name: t for name, t in tensors.items() if t is not None}
    check_same(function, **{name: t._array for name, t in given.items()})
    if len({t.dtype for t in given.values()}) > 1:
        found = ", ".join(f"{name} {t.dtype.name}" for name, t in given.items())
        wanted = next(t for name, t in given.items() if name.startswith("w")).dtype.name
        raise TypeError(f"{function} wants one dtype, got {found}: convert some, as in x.to({wanted!r})")
