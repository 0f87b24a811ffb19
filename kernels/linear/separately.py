"""All gradients of an affine map, one after the other: for implementations that have nothing faster."""

from typing import Any


def backward(
    linear: Any,
    dy: Any,
    x: Any,
    w: Any,
    activation: str | None,
    saved: Any,
    below: str | None,
    below_saved: Any,
    results: tuple[Any, Any, Any],
    accumulate: tuple[bool, bool, bool],
) -> None:
    """Write the gradients dX, dW, db, those that are not None, with the functions of ``linear``."""
    (dx, dw, db), (add_x, add_w, add_b) = results, accumulate
    dz = dy if activation is None else linear.backward_activation(dy, saved, activation)
    if dx is not None:
        linear.backward_input(dz, w, activation=below, saved=below_saved, out=dx, accumulate=add_x)
    if dw is not None:
        linear.backward_weight(dz, x, out=dw, accumulate=add_w, db=db, accumulate_db=add_b)
    elif db is not None:
        linear.backward_bias(dz, out=db, accumulate=add_b)
