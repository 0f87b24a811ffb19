"""The walk over chunks of rows, the same for every implementation.

``linear`` is its affine map, and ``differentiate(z, part)`` its loss: puts the losses of the rows ``part`` where they
belong, and returns dZ, made in place of z.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def chunks(m: int, rows: int) -> Iterator[slice]:
    """The m rows in slices of ``rows``. Of no rows an empty one: gradients are written then too, and are 0."""
    for start in range(0, max(m, 1), max(rows, 1)):
        yield slice(start, min(start + rows, m))


def backward(
    linear: Any,
    x: Any,
    w: Any,
    b: Any,
    rows: int,
    differentiate: Callable[[Any, slice], Any],
    gradients: Sequence[Any],
    accumulate: tuple[bool, bool, bool],
) -> None:
    """Write the gradients dX, dW, db, those that are not None; W's and b's from the second chunk on by adding."""
    dx, dw, db = gradients
    add_x, add_w, add_b = accumulate
    for part in chunks(len(x), rows):
        dz = differentiate(linear.forward(x[part], w, b)[0], part)
        if dx is not None:
            linear.backward_input(dz, w, out=dx[part], accumulate=add_x)
        if dw is not None:
            linear.backward_weight(dz, x[part], out=dw, accumulate=add_w, db=db, accumulate_db=add_b)
        elif db is not None:
            linear.backward_bias(dz, out=db, accumulate=add_b)
        add_w = add_b = True
        del dz  # the next chunk's logits take its memory
