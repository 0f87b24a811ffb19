"""The same elements more than once, turned round, with a border, or with a part of them left out."""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..device import namespace
from ..tensor import Tensor, as_tensor, record
from .gathering import index_select
from .shaping import axis_of, expand, flatten, reshape

PAD_MODES = ("constant", "reflect", "replicate", "circular")


def repeat(x: Any, *sizes: Any) -> Tensor:
    """x side by side with itself, sizes[d] times along axis d, new axes at the left: PyTorch's ``x.repeat``.

    (NumPy calls this tile, and has each element repeated under the name of repeat: `repeat_interleave`.)

    Raises:
        ValueError: there are fewer sizes than axes.
    """
    x = as_tensor(x)
    times = _sizes(sizes)
    if len(times) < x.ndim:
        raise ValueError(f"repeat of shape {x.shape} wants a number for each axis, got {times}: tile(x, …) takes fewer")
    shape = (*[1] * (len(times) - x.ndim), *x.shape)
    apart = [size for n in shape for size in (1, n)]
    repeated = [size for t, n in zip(times, shape, strict=True) for size in (t, n)]
    return reshape(expand(reshape(x, apart), repeated), [t * n for t, n in zip(times, shape, strict=True)])


def tile(x: Any, *sizes: Any) -> Tensor:
    """As `repeat`; of fewer sizes than axes, those at the left count 1."""
    x = as_tensor(x)
    times = _sizes(sizes)
    return repeat(x, (*[1] * (x.ndim - len(times)), *times))


def repeat_interleave(x: Any, repeats: Any, dim: int | None = None) -> Tensor:
    """Each element ``repeats`` times in a row along ``dim`` (of the flat tensor where None): NumPy's ``repeat``.

    Args:
        repeats: a number, or one for each element of the axis.
    """
    x = as_tensor(x)
    x, axis = (flatten(x), 0) if dim is None else (x, axis_of(x, dim))
    if isinstance(repeats, int | np.integer):
        spread = expand(reshape(x, *x.shape[: axis + 1], 1, *x.shape[axis + 1 :]), _with(x.shape, axis, repeats))
        return flatten(spread, axis, axis + 1)
    times = np.asarray(repeats)
    if times.shape != (x.shape[axis],):
        raise ValueError(
            f"repeats must be a number, or {x.shape[axis]} of them, one for each element; got {times.shape}"
        )
    return index_select(x, axis, np.repeat(np.arange(x.shape[axis]), times))


def flip(x: Any, dims: int | Sequence[int] | None = None) -> Tensor:
    """Each of the axes ``dims`` (all when None) from its end to its start: a view."""
    x = as_tensor(x)
    axes = _axes(x, dims)
    backwards = tuple([slice(None, None, -1) if d in axes else slice(None) for d in range(x.ndim)]) or (...,)
    return record("flip", x._array[backwards], (x,), lambda dy: (dy[backwards],), view_of=x)


def roll(x: Any, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Each element ``shifts`` further along ``dims``, from the end to the start; of the flat tensor where None.

    Backward: the other way.
    """
    x = as_tensor(x)
    by = tuple(shifts) if isinstance(shifts, tuple | list) else (shifts,)
    axes = None if dims is None else tuple(dims) if isinstance(dims, tuple | list) else (dims,)
    if len(by) != (1 if axes is None else len(axes)):
        raise ValueError(f"roll wants a shift for each axis, got shifts {shifts} and dims {dims}")
    forth: Any = by[0] if axes is None else by
    back: Any = -by[0] if axes is None else tuple([-n for n in by])
    at = None if axes is None else tuple([axis_of(x, d) for d in axes])
    return record("roll", np.roll(x._array, forth, at), (x,), lambda dy: (np.roll(dy, back, at),))


def tril(x: Any, diagonal: int = 0) -> Tensor:
    """The last two axes' elements on and below a diagonal, 0 above: ``diagonal`` 1 is the one above the main one."""
    return _triangle("tril", x, diagonal)


def triu(x: Any, diagonal: int = 0) -> Tensor:
    """The last two axes' elements on and above a diagonal, 0 below."""
    return _triangle("triu", x, diagonal)


def _triangle(name: str, x: Any, diagonal: int) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"{name} wants two axes or more, got shape {x.shape}")
    cut = getattr(np, name)
    return record(name, cut(x._array, diagonal), (x,), lambda dy: (cut(dy, diagonal),))


def diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the axes ``dim1`` and ``dim2``, as the last axis of the result. Backward: zero beside it."""
    x = as_tensor(x)
    a, b = axis_of(x, dim1), axis_of(x, dim2)
    if a == b:
        raise ValueError(f"diagonal wants two different axes, got {dim1} and {dim2}")
    n = max(0, min(x.shape[a] + min(offset, 0), x.shape[b] - max(offset, 0)))
    steps = namespace(x._array).arange(n)
    along = (..., steps - min(offset, 0), steps + max(offset, 0))
    order = (*[d for d in range(x.ndim) if d not in (a, b)], a, b)
    shape = x.shape

    def backward(dy: Any) -> tuple[Any]:
        dx = namespace(dy).zeros(shape, dy.dtype)
        dx.transpose(order)[along] = dy
        return (dx,)

    return record("diagonal", x._array.transpose(order)[along], (x,), backward)


def pad(x: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with more elements at the ends of its last axes.

    Args:
        pad: how many before and after, the last axis first: ``(left, right)``, ``(left, right, top, bottom)``, …;
            negative ones cut off.
        mode: ``"constant"``: ``value``; ``"reflect"``: what a mirror on the last element shows, without that element;
            ``"replicate"``: the last element again; ``"circular"``: the other end.

    Backward: dy of the inside, to which each border adds its own where its elements came from.

    Raises:
        ValueError: the numbers are not in pairs, the mode is not known, or it has not enough elements to take from.
    """
    x = as_tensor(x)
    if mode not in PAD_MODES:
        raise ValueError(f"pad knows the modes {PAD_MODES}, not {mode!r}")
    numbers = tuple([index(n) for n in pad])
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim:
        raise ValueError(f"pad of shape {x.shape} wants pairs (before, after), the last axis first, got {numbers}")
    widths = [(x.ndim - 1 - i, numbers[2 * i], numbers[2 * i + 1]) for i in range(len(numbers) // 2)]
    for axis, before, after in widths:
        _check_pad(x.shape[axis], axis, before, after, mode)
    if mode == "constant":
        return _pad_constant(x, widths, value)
    y, shape = x._array, x.shape
    for axis, before, after in widths:
        y = y[(*[slice(None)] * axis, _sources(namespace(y), shape[axis], before, after, mode))]

    def backward(dy: Any) -> tuple[Any]:
        for axis, before, after in reversed(widths):
            dy = _fold(dy, axis, before, _sources(np, shape[axis], before, after, mode), shape[axis])
        return (dy,)

    return record("pad", y, (x,), backward)


def pad_as_numpy(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Tensor:
    """`pad` with the arguments of NumPy's, which go from the first axis: a number, a pair, or a pair for each axis."""
    x = as_tensor(x)
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    names = {"edge": "replicate", "wrap": "circular"}
    return pad(x, [int(n) for pair in widths[::-1] for n in pair], names.get(mode, mode), constant_values)


def _pad_constant(x: Tensor, widths: list[tuple[int, int, int]], value: float) -> Tensor:
    shape, to, of = list(x.shape), [slice(None)] * x.ndim, [slice(None)] * x.ndim
    for axis, before, after in widths:
        n = x.shape[axis]
        shape[axis] = n + before + after
        to[axis] = slice(max(before, 0), shape[axis] - max(after, 0))
        of[axis] = slice(max(-before, 0), n - max(-after, 0))
    inside, taken, own = (*to, ...), (*of, ...), x.shape
    y = namespace(x._array).full(tuple(shape), value, x.dtype)
    y[inside] = x._array[taken]

    def backward(dy: Any) -> tuple[Any]:
        if taken == (*[slice(0, n) for n in own], ...):
            return (dy[inside],)
        dx = namespace(dy).zeros(own, dy.dtype)
        dx[taken] = dy[inside]
        return (dx,)

    return record("pad", y, (x,), backward)


def _sources(xp: Any, n: int, before: int, after: int, mode: str) -> Any:
    """Which element each one of the padded axis is, as an array of ``xp``."""
    places = xp.arange(-before, n + after)
    if mode == "replicate":
        return np.minimum(np.maximum(places, 0), n - 1)
    if mode == "circular":
        return places % n
    return np.where(places < 0, -places, np.where(places >= n, 2 * (n - 1) - places, places))


def _fold(dy: Any, axis: int, before: int, sources: Any, n: int) -> Any:
    """The gradient of an axis from that of the padded one: element after element of the borders, in order."""

    def at(i: int) -> tuple[Any, ...]:
        return (*[slice(None)] * axis, i, ...)

    first, last = max(before, 0), min(before + n, len(sources))
    dx = namespace(dy).zeros((*dy.shape[:axis], n, *dy.shape[axis + 1 :]), dy.dtype)
    whole = slice(int(sources[first]), int(sources[last - 1]) + 1)
    dx[(*[slice(None)] * axis, whole)] = dy[(*[slice(None)] * axis, slice(first, last))]
    for i in (*range(first), *range(last, len(sources))):
        dx[at(int(sources[i]))] += dy[at(i)]
    return dx


def _check_pad(n: int, axis: int, before: int, after: int, mode: str) -> None:
    wide = max(before, after)
    most = {"reflect": n - 1, "circular": n, "replicate": wide if n else 0}.get(mode, wide)
    if n + before + after < 0 or (mode != "constant" and (wide > most or n + min(before, 0) + min(after, 0) < 1)):
        raise ValueError(
            f"pad by {(before, after)} of axis {axis}, which has {n} elements, cannot be made with mode={mode!r}"
            + (f": at most {most} at an end" if wide > most else "")
        )


def _axes(x: Tensor, dims: int | Sequence[int] | None) -> tuple[int, ...]:
    if dims is None:
        return tuple(range(x.ndim))
    return tuple([axis_of(x, d) for d in (dims if isinstance(dims, tuple | list) else (dims,))])


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from ``f(2, 3)`` and ``f((2, 3))`` alike."""
    given = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    times = tuple([index(n) for n in given])
    if min(times, default=0) < 0:
        raise ValueError(f"a number of times is 0 or more, got {times}")
    return times


def _with(shape: tuple[int, ...], axis: int, repeats: Any) -> tuple[int, ...]:
    return (*shape[: axis + 1], int(repeats), *shape[axis + 1 :])
