"""The layers one after the other, with the functions of an implementation of `kernels.linear`."""

from collections.abc import Callable, Sequence
from typing import Any


def forward(linear: Any, x: Any, layers: Sequence[tuple[Any, Any]], activation: str, residual: Any) -> tuple[Any, Any]:
    """Y, and for each layer but the last what it made: after its activation, and what that saved."""
    saved = []
    for w, b in layers[:-1]:
        x, before = linear.forward(x, w, b, activation=activation)
        saved.append((x, before))
    y, _ = linear.forward(x, *layers[-1], residual=residual)
    return y, tuple(saved)


def backward(
    linear: Any,
    empty: Callable[..., Any],
    dy: Any,
    x: Any,
    saved: Sequence[tuple[Any, Any]],
    layers: Sequence[tuple[Any, Any]],
    activation: str,
    out: Sequence[Any],
    accumulate: Sequence[bool],
) -> None:
    """`gdengine.kernels.mlp.backward`; ``empty`` makes an array of a shape and a dtype."""
    for i in range(len(layers) - 1, lowest(out) - 1, -1):
        dw, db = out[1 + 2 * i : 3 + 2 * i]
        add_w, add_b = accumulate[1 + 2 * i : 3 + 2 * i]
        read, w = (x if i == 0 else saved[i - 1][0]), layers[i][0]
        if i > lowest(out):
            du = empty(read.shape, dy.dtype)
            below = {"below": activation, "below_saved": saved[i - 1][1]}
            linear.backward(dy, read, w, **below, dx=du, dw=dw, db=db, accumulate=(False, add_w, add_b))
            dy = du
        elif i > 0 or out[0] is None:
            linear.backward(dy, read, w, dw=dw, db=db, accumulate=(False, add_w, add_b))
        elif out[0] is dw or out[0] is db:  # one array for both: one after the other
            linear.backward(dy, read, w, dw=dw, db=db, accumulate=(False, add_w, add_b))
            linear.backward(dy, read, w, dx=out[0], accumulate=(accumulate[0], False, False))
        else:
            linear.backward(dy, read, w, dx=out[0], dw=dw, db=db, accumulate=(accumulate[0], add_w, add_b))


def lowest(out: Sequence[Any]) -> int:
    """The first layer of which a gradient is asked for (X's belongs to layer 0); how many there are, if of none."""
    if out[0] is not None:
        return 0
    return next(((i - 1) // 2 for i in range(1, len(out)) if out[i] is not None), (len(out) - 1) // 2)
