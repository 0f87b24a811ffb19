"""Elements in order, and the first few of them. Equal elements keep their order, so that there is one result."""

from typing import Any, NamedTuple

import numpy as np

from ..device import namespace
from ..tensor import Tensor, as_tensor, is_floating, record, wrap
from .elementwise import clone
from .gathering import grid_of
from .shaping import axis_of


class Ordered(NamedTuple):
    """Values, and where along the axis they stood (int64, no gradient)."""

    values: Tensor
    indices: Tensor


def sort(x: Any, dim: int = -1, descending: bool = False) -> Ordered:
    """The elements along ``dim`` in order, NaN as the largest; equal ones keep their order. Backward: dy put back."""
    x = as_tensor(x)
    if x.ndim == 0:
        return Ordered(clone(x), wrap(namespace(x._array).zeros((), np.int64)))
    axis = axis_of(x, dim)
    order = _order(x._array, axis, descending)
    return Ordered(_picked("sort", x, grid_of(order, axis)), wrap(order))


def argsort(x: Any, dim: int = -1, descending: bool = False) -> Tensor:
    """The indices that `sort` gives: int64, no gradient."""
    x = as_tensor(x)
    return wrap(_order(x._array, axis_of(x, dim), descending) if x.ndim else namespace(x._array).zeros((), np.int64))


def topk(x: Any, k: int, dim: int = -1, largest: bool = True) -> Ordered:
    """The ``k`` largest (or smallest) along ``dim``, in order; of equal ones the first.

    Backward: dy put back, 0 elsewhere.

    Raises:
        ValueError: there are fewer than k.
    """
    x = as_tensor(x)
    axis = axis_of(x, dim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk of the {x.shape[axis]} elements along axis {dim} of {x.shape} cannot give {k}")
    order = _order(x._array, axis, largest)[(*[slice(None)] * axis, slice(k))]
    return Ordered(_picked("topk", x, grid_of(order, axis)), wrap(order))


def _order(array: Any, axis: int, descending: bool) -> Any:
    """A stable argsort: one from the largest is that of the axis turned round, turned round."""
    if not descending:
        return array.argsort(axis=axis, kind="stable").astype(np.int64, copy=False)
    turned = (*[slice(None)] * axis, slice(None, None, -1))
    return (array.shape[axis] - 1 - array[turned].argsort(axis=axis, kind="stable")[turned]).astype(
        np.int64, copy=False
    )


def _picked(name: str, x: Tensor, grid: tuple[Any, ...]) -> Tensor:
    """x[grid], where no element is picked twice: its gradient is put, and need not be added."""
    shape = x.shape
    if not is_floating(x.dtype):
        return wrap(x._array[grid])

    def backward(dy: Any) -> tuple[Any]:
        dx = namespace(dy).zeros(shape, dy.dtype)
        dx[grid] = dy
        return (dx,)

    return record(name, x._array[grid], (x,), backward)
