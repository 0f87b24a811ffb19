"""The same elements in another shape or order."""

from collections.abc import Sequence
from itertools import accumulate
from operator import index
from typing import Any

import numpy as np

from ..tensor import Tensor, as_tensor, is_floating, record, record_many
from .elementwise import cast, unbroadcast


def reshape(x: Any, *shape: Any) -> Tensor:
    """The elements in C order under another shape; one size may be −1. A view where memory allows."""
    x = as_tensor(x)
    target, own = _shape(shape), x.shape
    try:
        y = x._array.reshape(target)
    except ValueError:
        raise ValueError(f"{x.size} elements of shape {own} do not fit into shape {target}") from None
    return record("reshape", y, (x,), lambda dy: (dy.reshape(own),), view_of=_if_shared(y, x))


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes ``start_dim`` to ``end_dim`` joined into one."""
    x = as_tensor(x)
    if x.ndim == 0:
        return reshape(x, 1)
    first, last = axis_of(x, start_dim), axis_of(x, end_dim)
    if first > last:
        raise ValueError(
            f"flatten joins axes from start_dim to end_dim, got {start_dim} to {end_dim} of shape {x.shape}"
        )
    return reshape(x, *x.shape[:first], int(np.prod(x.shape[first : last + 1])), *x.shape[last + 1 :])


def transpose(x: Any, *dims: Any) -> Tensor:
    """Two axes exchanged: a view. Without ``dims`` (or None), all axes in reverse, as NumPy does."""
    x = as_tensor(x)
    if dims == (None,):
        dims = ()
    if len(dims) not in (0, 2):
        raise ValueError(f"transpose exchanges two axes, got {dims}: use permute for an order of all axes")
    if not dims:
        return permute(x, *reversed(range(x.ndim)))
    a, b = (axis_of(x, d) for d in dims)
    y = x._array.swapaxes(a, b)
    return record("transpose", y, (x,), lambda dy: (dy.swapaxes(a, b),), view_of=x)


def permute(x: Any, *dims: Any) -> Tensor:
    """The axes in another order: a view whose axis i is x's axis dims[i]."""
    x = as_tensor(x)
    order = tuple(axis_of(x, d) for d in _shape(dims))
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"permute needs every axis of shape {x.shape} once, got {order}")
    back = tuple(int(i) for i in np.argsort(order))
    return record("permute", x._array.transpose(order), (x,), lambda dy: (dy.transpose(back),), view_of=x)


def squeeze(x: Any, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes of size 1: all of them, or those among ``dim``, an axis or several."""
    x = as_tensor(x)
    if dim is None or not x.ndim:
        meant = list(range(x.ndim))
    else:
        meant = [axis_of(x, d) for d in (dim if isinstance(dim, tuple | list) else (dim,))]
    return reshape(x, tuple(n for d, n in enumerate(x.shape) if n != 1 or d not in meant))


def unsqueeze(x: Any, dim: int) -> Tensor:
    """With a new axis of size 1 at position ``dim`` of the result."""
    x = as_tensor(x)
    if not -x.ndim - 1 <= dim <= x.ndim:
        raise IndexError(f"unsqueeze of shape {x.shape} takes a position from {-x.ndim - 1} to {x.ndim}, got {dim}")
    at = dim % (x.ndim + 1)
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


def expand(x: Any, *shape: Any) -> Tensor:
    """x repeated along axes of size 1 (and new axes at the left) to ``shape``; −1 keeps a size. Backward: sums."""
    x = as_tensor(x)
    target = _shape(shape)
    missing = len(target) - x.ndim
    target = tuple(x.shape[d - missing] if n == -1 and d >= missing else n for d, n in enumerate(target))
    try:
        y = np.broadcast_to(x._array, target)
    except ValueError:
        raise ValueError(
            f"a tensor of shape {x.shape} cannot be expanded to {target}: only sizes of 1 repeat"
        ) from None
    own, dtype = x.shape, x.dtype
    return record("expand", y, (x,), lambda dy: (unbroadcast(dy, own, dtype),), view_of=x)


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """One after another along an axis that exists. Backward: the pieces."""
    xs = _several("cat", tensors)
    axis = axis_of(xs[0], dim)
    try:
        y = np.concatenate([x._array for x in xs], axis=axis)
    except ValueError:
        raise ValueError(
            f"cat along axis {dim} wants shapes that agree on every other axis, got {[x.shape for x in xs]}"
        ) from None
    ends = list(accumulate(x.shape[axis] for x in xs))[:-1]
    dtypes = [x.dtype for x in xs]
    return record("cat", y, tuple(xs), lambda dy: _as(np.split(dy, ends, axis=axis), dtypes))


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Side by side along a new axis. Backward: the slices."""
    xs = _several("stack", tensors)
    if len({x.shape for x in xs}) > 1:
        raise ValueError(f"stack wants tensors of one shape, got {[x.shape for x in xs]}")
    return cat([unsqueeze(x, dim) for x in xs], dim)


def split(x: Any, size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut along an axis into views of ``size`` (the last may be smaller), or of the sizes listed.

    Backward: the pieces side by side, zero where no gradient came.
    """
    x = as_tensor(x)
    axis = axis_of(x, dim)
    n = x.shape[axis]
    if isinstance(size, int | np.integer):
        if size < 1:
            raise ValueError(f"split wants pieces of at least 1, got {size}")
        ends = list(range(size, n, size))
    else:
        if sum(size) != n or min(size, default=0) < 0:
            raise ValueError(
                f"split sizes {list(size)} add up to {sum(size)}, but axis {dim} of shape {x.shape} has {n}: give one "
                "size for all, or sizes from 0 up that add up to it"
            )
        ends = list(accumulate(size))[:-1]
    pieces = np.split(x._array, ends, axis=axis)
    shape, dtype = x.shape, x.dtype

    def backward(dy: tuple[Any, ...], into: Any) -> None:
        dx, accumulate_ = into(0, shape, dtype)
        for target, piece in zip(np.split(dx, ends, axis=axis), dy, strict=True):
            if piece is not None and accumulate_:
                target += piece
            elif not accumulate_:
                target[...] = 0 if piece is None else piece

    return record_many("split", pieces, (x,), backward, view_of=x, direct=True)


def chunk(x: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut along an axis into ``chunks`` views of one size, the last smaller; fewer where that uses up the axis."""
    x = as_tensor(x)
    if chunks < 1:
        raise ValueError(f"chunk wants at least 1 piece, got {chunks}")
    return split(x, max(-(-x.shape[axis_of(x, dim)] // chunks), 1), dim)


def unbind(x: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it: views."""
    x = as_tensor(x)
    axis = axis_of(x, dim)
    return tuple([squeeze(piece, axis) for piece in split(x, 1, axis)]) if x.shape[axis] else ()


def _several(name: str, tensors: Sequence[Any]) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not len(tensors):
        raise ValueError(f"{name} wants a list of one or more tensors, got {tensors!r}")
    xs = [as_tensor(x) for x in tensors]
    floats = [x.dtype for x in xs if is_floating(x.dtype)]
    if not floats:
        return xs
    return [x if is_floating(x.dtype) else cast(x, np.result_type(*floats)) for x in xs]  # integers widen no float


def _as(pieces: list[Any], dtypes: list[Any]) -> tuple[Any, ...]:
    return tuple(piece.astype(dtype, copy=False) for piece, dtype in zip(pieces, dtypes, strict=True))


def axis_of(x: Tensor, dim: int) -> int:
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(f"axis {dim} of a tensor of shape {x.shape}: axes go from {-x.ndim} to {x.ndim - 1}")
    return dim % x.ndim


def _shape(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from ``f(2, 3)``, ``f((2, 3))`` and ``f([2, 3])`` alike."""
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    return tuple(index(n) for n in shape)


def _if_shared(y: Any, x: Tensor) -> Tensor | None:
    return x if np.may_share_memory(y, x._array) else None
