"""Elements picked and put by index along an axis, or by a mask."""

from typing import Any

import numpy as np

from ..device import beside, check_same, namespace
from ..tensor import Tensor, as_tensor, is_floating, record, tensors_of, wrap
from .elementwise import where
from .embedding import check_indices
from .indexing import add_at, getitem
from .shaping import axis_of, flatten


def gather(x: Any, dim: int, index: Any) -> Tensor:
    """y[i, j, k] = x[i, index[i, j, k], k], for ``dim`` 1 of three axes.

    Backward: dy added up where it was picked from.

    Args:
        index: integers in [0, n), with as many axes as x, none but ``dim`` longer than x's.

    Raises:
        ValueError: the shapes do not fit.
        TypeError, IndexError: the index is not of integers, or out of range (not looked at on a GPU).
    """
    x = as_tensor(x)
    axis = axis_of(x, dim)
    places = _index("gather", x, axis, index)
    return _take("gather", x, grid_of(places, axis), tensors_of(index))


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """As `gather`, under NumPy's name and rules: the other axes broadcast, negative indices count from the end.

    Raises:
        ValueError, TypeError, IndexError: as `gather`.
    """
    x, own = as_tensor(x), as_tensor(indices)._array
    if axis is None:
        x, axis = flatten(x), 0
    at = axis_of(x, axis)
    if own.ndim != x.ndim:
        raise ValueError(f"take_along_axis wants indices with the {x.ndim} axes of x {x.shape}, got {own.shape}")
    n = x.shape[at]
    shifted = wrap(np.where(own < 0, own + n, own)) if own.dtype.kind == "i" else wrap(own)
    check_indices("take_along_axis", "indices", shifted._array, n)
    places = beside(shifted._array, x._array)
    others = [d for d in range(x.ndim) if d != at]
    shape = list(places.shape)
    for d in others:
        if 1 not in (shape[d], x.shape[d]) and shape[d] != x.shape[d]:
            raise ValueError(f"take_along_axis: indices {own.shape} do not broadcast with x {x.shape}")
        shape[d] = x.shape[d] if shape[d] == 1 else shape[d]
    grid = list(grid_of(np.broadcast_to(places, tuple(shape)), at))
    for d in others:
        if x.shape[d] == 1:
            grid[d] = grid[d] * 0
    return _take("take_along_axis", x, tuple(grid), tensors_of(indices))


def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """x with src[i, j, k] added at [i, index[i, j, k], k], for ``dim`` 1 of three axes; equal places add up in order.

    Backward: dx = dy; d(src) = `gather` of dy.

    Args:
        index: as for `gather`; of ``src`` the part of its shape is taken.

    Raises:
        ValueError, TypeError, IndexError: as `gather`; also TypeError where x and src differ in dtype.
    """
    x, source = as_tensor(x), as_tensor(src)
    axis = axis_of(x, dim)
    places = _index("scatter_add", x, axis, index)
    if source.ndim != x.ndim or any(n > m for n, m in zip(places.shape, source.shape, strict=True)):
        raise ValueError(f"scatter_add wants a src at least as large as the index {places.shape}, got {source.shape}")
    if source.dtype != x.dtype:
        raise TypeError(f"scatter_add wants one dtype, got x {x.dtype} and src {source.dtype}")
    check_same("scatter_add", x=x._array, src=source._array)
    if source.shape != places.shape:
        source = getitem(source, tuple([slice(n) for n in places.shape]))
    grid = grid_of(places, axis)
    y = x._array.copy()
    add_at(y, grid, source._array)
    return record("scatter_add", y, (x, source), lambda dy: (dy, dy[grid]), keeps=tensors_of(index))


def index_select(x: Any, dim: int, index: Any) -> Tensor:
    """The slices ``index`` of an axis, in that order: integers ``(n,)`` from 0. Backward: equal ones add up.

    Raises:
        ValueError: the index is no vector.
        TypeError, IndexError: as `gather`.
    """
    x, places = as_tensor(x), as_tensor(index)
    axis = axis_of(x, dim)
    if places.ndim != 1:
        raise ValueError(f"index_select wants a vector of indices, got shape {places.shape}: see gather")
    check_indices("index_select", "index", places._array, x.shape[axis])
    at = beside(places._array, x._array)
    return getitem(x, (*[slice(None)] * axis, places if at is places._array else at))


def masked_fill(x: Any, mask: Any, value: Any) -> Tensor:
    """x with ``value`` (a number, or a tensor that broadcasts) where ``mask`` (bool, broadcast) is true.

    Backward: dy where it is not; the sum of dy where it is to ``value``.
    """
    return where(mask, value, x)


def one_hot(ids: Any, num_classes: int = -1) -> Tensor:
    """1 at each id and 0 elsewhere, along a new last axis of ``num_classes`` (the largest id + 1 by default): int64.

    Raises:
        TypeError, IndexError: as `gather`.
        ValueError: num_classes is not given, and there are no ids to tell it.
    """
    array = as_tensor(ids)._array
    if num_classes == -1:
        if not array.size:
            raise ValueError("one_hot of no ids cannot tell how many classes there are: pass num_classes")
        num_classes = int(array.max()) + 1
    check_indices("one_hot", "ids", array, num_classes)
    return wrap((array[..., None] == namespace(array).arange(num_classes)).astype(np.int64))


def _take(name: str, x: Tensor, grid: tuple[Any, ...], keeps: tuple[Tensor, ...]) -> Tensor:
    shape, dtype = x.shape, x.dtype
    if not is_floating(dtype):
        return wrap(x._array[grid])

    def backward(dy: Any, into: Any) -> None:
        dx, accumulate = into(0, shape, dtype)
        if not accumulate:
            dx[...] = 0
        add_at(dx, grid, dy)

    return record(name, x._array[grid], (x,), backward, keeps=keeps, direct=True)


def _index(function: str, x: Tensor, axis: int, index: Any) -> Any:
    """The index of `gather` and `scatter_add`, checked, and where x lives."""
    places = as_tensor(index)._array
    if places.ndim != x.ndim or any(
        n > m for d, (n, m) in enumerate(zip(places.shape, x.shape, strict=True)) if d != axis
    ):
        raise ValueError(
            f"{function} of x {x.shape} wants an index with as many axes, none but axis {axis} longer, "
            f"got {places.shape}"
        )
    check_indices(function, "index", places, x.shape[axis])
    places = beside(places, x._array)
    check_same(function, x=x._array, index=places)
    return places


def grid_of(places: Any, axis: int) -> tuple[Any, ...]:
    """An index for all axes: ``places`` for ``axis``, its own position for every other."""
    xp, n = namespace(places), places.ndim
    return tuple(
        [
            places if d == axis else xp.arange(size).reshape(*[1] * d, size, *[1] * (n - d - 1))
            for d, size in enumerate(places.shape)
        ]
    )
