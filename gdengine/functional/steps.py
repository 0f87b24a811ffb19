"""Functions of each element that are flat in places: limits, signs, whole numbers."""

from typing import Any

import numpy as np

from ..device import namespace
from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, as_tensor, record, wrap
from .elementwise import check_broadcast, operands, unbroadcast


def clamp(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """x, but at least ``min`` and at most ``max`` (numbers or tensors, which broadcast); ``max`` where min > max.

    Backward, as PyTorch has it: dy goes to x where min ≤ x ≤ max, limits included; elsewhere to the limit that was
    taken.

    Raises:
        ValueError: neither limit is given; the shapes do not broadcast.
    """
    if min is None and max is None:
        raise ValueError("clamp wants a min, a max, or both")
    x = as_tensor(x)
    low = high = None
    if min is not None:
        x, low = operands(x, min)
    if max is not None:
        x, high = operands(x, max)
    check_broadcast(x.shape, *(limit.shape for limit in (low, high) if limit is not None))
    array = x._array
    lowest, highest = (None if limit is None else limit._array for limit in (low, high))
    y = array if lowest is None else np.maximum(array, lowest)
    y = y if highest is None else np.minimum(y, highest)
    at = [None if t is None or not t.requires_grad else (t.shape, t.dtype) for t in (x, low, high)]

    def backward(dy: Any) -> tuple[Any, ...]:
        above = True if lowest is None else array >= lowest
        below = True if highest is None else array <= highest
        to_low = None if lowest is None else (array < lowest) & (True if highest is None else lowest < highest)
        to_high = None if highest is None else (array > highest) | (False if lowest is None else highest < lowest)
        zero = dy.dtype.type(0)
        parts = (np.logical_and(above, below), to_low, to_high)
        return tuple(
            [
                None if place is None else unbroadcast(np.where(part, dy, zero), *place)
                for part, place in zip(parts, at, strict=True)
            ]
        )

    return record("clamp", y, (x, low, high), backward, keeps=tuple([t for t in (x, low, high) if t is not None]))


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """`clamp` under NumPy's name."""
    return clamp(x, min, max)


def sign(x: Any) -> Tensor:
    """−1, 0 or 1; no gradient."""
    return wrap(np.sign(as_tensor(x)._array))


def floor(x: Any) -> Tensor:
    """The greatest whole number that is not above x. Backward: 0."""
    return _step("floor", np.floor, x)


def ceil(x: Any) -> Tensor:
    """The least whole number that is not below x. Backward: 0."""
    return _step("ceil", np.ceil, x)


def round(x: Any, decimals: int = 0) -> Tensor:
    """The nearest whole number, the even one of two; or the nearest multiple of 10^−decimals. Backward: 0."""
    if decimals == 0:
        return _step("round", np.rint, x)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return _step("round", lambda array: narrow(np.rint(wide(array) * scale) / scale, array), x)
    return _step("round", lambda array: narrow(np.rint(wide(array) / scale) * scale, array), x)


def _step(name: str, function: Any, x: Any) -> Tensor:
    """Integers are whole already. A gradient of 0 it is, and not none, so that what trains through it is reached."""
    x = as_tensor(x)
    array = x._array
    if array.dtype.kind in "biu":
        return wrap(array.copy())
    return record(name, function(array), (x,), lambda dy: (namespace(dy).zeros(dy.shape, dy.dtype),))
