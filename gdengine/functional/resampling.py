"""Images of another size: interpolation, and means over as many windows as there are to be places.

Both are linear along each axis by itself: y[o] = Σ_k weight[o, k] · x[index[o, k]] (`Taps`), and so are their
gradients, with taps of their own: for each input, the outputs that it went into. So every sum has one owner and one
order.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..device import device_of, moved
from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, record
from .elementwise import floating
from .reductions import mean

MODES = {"nearest": (3, 4), "nearest-exact": (3, 4), "linear": (3,), "bilinear": (4,), "bicubic": (4,), "area": (3, 4)}
CUBIC = -0.75  # the a of Keys 1981, as PyTorch has it


class Taps(NamedTuple):
    """Columns of indices and of weights (None for 1), K of each: what every place is a sum of."""

    places: tuple[Any, ...]
    weight: tuple[Any, ...]


def interpolate(
    x: Any,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """x resized to ``size``, or by ``scale_factor``: its values at places between.

    Output o of an axis lies at (o + ½)·s − ½ of the input, with s = 1/scale_factor or input/output size; with
    ``align_corners`` at o·(in − 1)/(out − 1), so that the corners fall on each other. ``"nearest"`` takes ⌊o·s⌋,
    ``"nearest-exact"`` ⌊(o + ½)·s⌋; ``"linear"`` and ``"bilinear"`` go straight between neighbours, ``"bicubic"`` along
    Keys's cubics (1981, a = −¾); ``"area"`` is `adaptive_avg_pool2d`. What is beyond an edge is the edge.

    Args:
        x: ``(N, C, H, W)``; ``(N, C, L)`` for "linear", "nearest", "area".
        size: a number, or one for each axis.
        scale_factor: likewise; a size is then ⌊input · factor⌋.

    Raises:
        ValueError: not exactly one of size and scale_factor; a mode that is not known or has no align_corners.
    """
    x = floating(x)
    if mode not in MODES or x.ndim not in MODES[mode]:
        known = ", ".join(f"{name!r} for {' or '.join(map(str, dims))} axes" for name, dims in MODES.items())
        raise ValueError(f"interpolate got mode={mode!r} for x of shape {x.shape}; it knows {known}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"align_corners belongs to modes that go between places, not to {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate wants size or scale_factor, got size={size!r} and scale_factor={scale_factor!r}")
    inputs = x.shape[2:]
    factors = _each("scale_factor", scale_factor, len(inputs))
    sizes = _each("size", size, len(inputs))
    sizes = tuple(math.floor(n * f) for n, f in zip(inputs, factors, strict=True)) if size is None else sizes
    if min((*sizes, *inputs)) < 1:
        raise ValueError(f"interpolate of x {x.shape} to {sizes}: sizes go from 1 up")
    if mode == "area":
        return _resampled(
            "interpolate", x, tuple(("mean", n, m, 0.0, False) for n, m in zip(inputs, sizes, strict=True))
        )
    kind = "linear" if mode == "bilinear" else mode
    steps = [n / m if f is None else 1 / f for n, m, f in zip(inputs, sizes, factors, strict=True)]
    plans = zip(inputs, sizes, steps, strict=True)
    return _resampled("interpolate", x, tuple((kind, n, m, s, bool(align_corners)) for n, m, s in plans))


def adaptive_avg_pool2d(x: Any, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """Means over OH × OW windows that cover the image: window o of an axis goes from ⌊o·n/out⌋ to ⌈(o + 1)·n/out⌉.

    Args:
        x: ``(N, C, H, W)`` or ``(C, H, W)``.
        output_size: a number, or (OH, OW); None keeps a size. 1 is the mean of each channel.

    Raises:
        ValueError: a shape does not fit.
    """
    x = floating(x)
    if x.ndim not in (3, 4) or min(x.shape[-2:]) < 1:
        raise ValueError(f"adaptive_avg_pool2d wants (N, C, H, W) or (C, H, W), got x of shape {x.shape}")
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(sizes) != 2 or any(n is not None and n < 1 for n in sizes):
        raise ValueError(f"adaptive_avg_pool2d wants one or two sizes from 1 up, got {output_size!r}")
    wanted = [own if n is None else int(n) for n, own in zip(sizes, x.shape[-2:], strict=True)]
    if wanted == [1, 1]:
        return mean(x, (-2, -1), keepdim=True)
    plans = zip(x.shape[-2:], wanted, strict=True)
    return _resampled("adaptive_avg_pool2d", x, tuple(("mean", n, m, 0.0, False) for n, m in plans))


def _each(name: str, value: Any, axes: int) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    if len(values) != axes or not all(v is None or v > 0 for v in values):
        raise ValueError(f"interpolate wants {name} as a positive number, or {axes} of them; got {value!r}")
    return values


def _resampled(name: str, x: Tensor, plans: tuple[tuple[Any, ...], ...]) -> Tensor:
    """The last axes, one after another, by the taps of their plans."""
    array, dtype = wide(x._array), x.dtype
    places = [(axis - len(plans), _taps(*plan, device_of(array), array.dtype)) for axis, plan in enumerate(plans)]
    y = array
    for axis, (forward, _) in places:
        y = _applied(y, forward, axis)

    def backward(dy: Any) -> tuple[Any]:
        dx = wide(dy)
        for axis, (_, back) in reversed(places):
            dx = _applied(dx, back, axis)
        return (dx.astype(dtype, copy=False),)

    return record(name, narrow(y, x._array), (x,), backward)


def _applied(x: Any, taps: Taps, axis: int) -> Any:
    y = None
    for index, weight in zip(*taps, strict=True):
        part = x.take(index, axis=axis)
        if weight is not None:
            part = part * weight.reshape(-1, *(1,) * (-1 - axis))
        y = part if y is None else y + part
    return y


@lru_cache(maxsize=256)
def _taps(kind: str, n: int, m: int, step: float, align: bool, device: str, dtype: Any) -> tuple[Taps, Taps]:
    """Those from ``n`` to ``m`` places, and those of the gradient, where and of the dtype that x is."""
    index, weight = _mean_taps(n, m) if kind == "mean" else _between(kind, n, m, step, align)
    return _placed(index, weight, device, dtype), _placed(*_turned(index, weight, n), device, dtype)


def _between(kind: str, n: int, m: int, step: float, align: bool) -> tuple[Any, Any]:
    places = np.arange(m)
    if kind.startswith("nearest"):  # in float32, as PyTorch: elsewhere a boundary would be taken by another neighbour
        shifted = places.astype(np.float32) + np.float32(0.5 if kind.endswith("exact") else 0)
        return np.minimum(np.floor(shifted * np.float32(step)).astype(int), n - 1)[:, None], np.ones((m, 1))
    at = places * ((n - 1) / (m - 1) if m > 1 else 0.0) if align else (places + 0.5) * step - 0.5
    if kind == "linear":
        at = np.maximum(at, 0)
        low = np.minimum(np.floor(at).astype(int), n - 1)
        t = np.minimum(at - low, 1)
        return np.stack([low, np.minimum(low + 1, n - 1)], 1), np.stack([1 - t, t], 1)
    low = np.floor(at).astype(int)
    distance = np.abs(at[:, None] - low[:, None] - np.arange(-1, 3))
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
    return np.clip(low[:, None] + np.arange(-1, 3), 0, n - 1), np.where(distance <= 1, near, far)


def _mean_taps(n: int, m: int) -> tuple[Any, Any]:
    first = np.arange(m) * n // m
    count = -(-(np.arange(m) + 1) * n // m) - first
    within = np.arange(count.max()) < count[:, None]
    index = np.where(within, first[:, None] + np.arange(count.max()), 0)
    return index, np.where(within, 1 / count[:, None], 0.0)


def _turned(index: Any, weight: Any, n: int) -> tuple[Any, Any]:
    """For each of the ``n`` inputs, the outputs that it went into, in order, and with which weight."""
    used = [(i, o, w) for (o, k), i in np.ndenumerate(index) if (w := weight[o, k]) != 0]
    of: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for i, o, w in used:
        of[i].append((o, w))
    most = max(1, *map(len, of))
    padded = [row + [(0, 0.0)] * (most - len(row)) for row in of]
    both = np.array(padded, np.float64).reshape(n, most, 2)
    return both[..., 0].astype(int), both[..., 1]


def _placed(index: Any, weight: Any, device: str, dtype: Any) -> Taps:
    columns = range(index.shape[1])
    weights = [None if (weight[:, k] == 1).all() else np.ascontiguousarray(weight[:, k], dtype) for k in columns]
    return Taps(
        tuple(moved(np.ascontiguousarray(index[:, k]), device) for k in columns),
        tuple(None if w is None else moved(w, device) for w in weights),
    )
