"""The affine map of a layer."""

import math
from typing import Any

from .. import kernels
from ..device import check_same
from ..precision import operand, sum_dtype
from ..tensor import Tensor, plainly_alike, record


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
    x_shape, w_shape, dtype = x.shape, w.shape, x.dtype
    check_activation("linear", activation, kernels.linear.ACTIVATIONS)
    check_affine("linear", x_shape, w, b)
    check_residual("linear", r, x_shape, w)
    check_alike("linear", x=x, weight=w, bias=b, residual=r)
    m, out = math.prod(x_shape[:-1]), w_shape[0]
    rows = x._array.reshape(m, w_shape[1])
    y, saved = kernels.linear.forward(
        rows,
        w._array,
        None if b is None else b._array,
        activation=activation,
        residual=None if r is None else r._array.reshape(m, out),
    )
    wants_x, wants_w = x.requires_grad, w.requires_grad
    kept_rows = rows if wants_w else None
    kept_weight = w._array if wants_x else None
    as_it_is = None if r is None else 3  # the input whose gradient is dY itself

    def backward(dy: Any, into: Any) -> int | None:
        _store_gradients(dy.reshape(m, out), kept_rows, kept_weight, into, x_shape, w_shape, dtype, activation, saved)
        return as_it_is

    keeps = (*((w,) * wants_x), *((x,) * wants_w))
    return record(
        "linear",
        y.reshape(*x_shape[:-1], out),
        (x, w, b, r),
        backward,
        keeps=keeps,
        keeps_output=activation == "relu",
        direct=True,
    )


def _store_gradients(
    dy: Any,
    rows: Any,
    weight: Any,
    into: Any,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    dtype: Any,
    activation: str | None,
    saved: Any,
) -> None:
    """Write dX, dW and db of the inputs 0, 1 and 2."""
    wide = sum_dtype(dtype)  # as sums in bfloat16's products are, and g
    (dx, add_x), (dw, add_w), (db, add_b) = into(0, x_shape, dtype), into(1, w_shape, wide), into(2, w_shape[:1], wide)
    if dx is None and dw is None and db is None:
        return
    rows_of_dx = None if dx is None else dx.reshape(len(dy), w_shape[1])
    results = [{"dx": rows_of_dx, "dw": dw, "db": db}]
    if dx is not None and (dx is dw or dx is db):  # one tensor as several inputs: its gradients one after the other
        results = [{name: array} for name, array in results[0].items() if array is not None]
    for written in results:
        kernels.linear.backward(
            *(dy, rows, weight),
            activation=activation,
            saved=saved,
            **written,
            accumulate=(add_x, add_w, add_b),
        )


def check_activation(function: str, activation: str | None, known: tuple[str | None, ...]) -> None:
    """Raise unless it is among those known."""
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
    shape = w.shape
    if len(shape) != 2:
        raise ValueError(f"{function} wants a {names[1]} of shape (out, in), got {shape}")
    if x[-1:] != shape[1:]:
        raise ValueError(
            f"{function} got {names[0]} of shape {x} and a {names[1]} of shape {shape}, (out, in): the last axis of "
            f"{names[0]} must be {shape[1]}"
        )
    if b is not None and b.shape != shape[:1]:
        raise ValueError(
            f"{function} wants a {names[2]} of shape {shape[:1]} with a {names[1]} of shape {shape}, got {b.shape}"
        )


def check_residual(function: str, residual: Tensor | None, x: tuple[int, ...], w: Tensor) -> None:
    """Raise unless it has the shape of the result."""
    if residual is not None and residual.shape != (*x[:-1], w.shape[0]):
        raise ValueError(f"{function} adds a residual of shape {(*x[:-1], w.shape[0])}, got {residual.shape}")


def check_alike(function: str, **tensors: Tensor | None) -> None:
    """Raise unless all tensors (None aside) live on one device and have one dtype."""
    if plainly_alike(*tensors.values()):
        return
    given = {name: t for name, t in tensors.items() if t is not None}
    check_same(function, **{name: t._array for name, t in given.items()})
    if len({t.dtype for t in given.values()}) > 1:
        found = ", ".join(f"{name} {t.dtype.name}" for name, t in given.items())
        wanted = next(t for name, t in given.items() if name.startswith("w")).dtype.name
        raise TypeError(f"{function} wants one dtype, got {found}: convert some, as in x.to({wanted!r})")
