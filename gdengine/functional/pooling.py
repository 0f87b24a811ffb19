"""The largest or the mean of each window of an image."""

from functools import lru_cache
from typing import Any

import numpy as np

from ..device import device_of, moved, namespace
from ..kernels.common.wide import narrow, wide
from ..kernels.conv2d import Geometry
from ..tensor import Tensor, record
from .convolution import Pair, _pair
from .elementwise import floating


def max_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of each window; beyond the edges is −∞. NaN counts as the largest.

    Args:
        x: ``(N, C, H, W)`` or ``(C, H, W)``.
        kernel_size, stride, padding, dilation: a number, or (vertical, horizontal); stride is kernel_size unless given.
        ceil_mode: with windows that reach beyond the far edges, as long as they begin inside.

    Returns:
        ``(…, OH, OW)`` with OH = ⌊(H + 2·padding − dilation·(K − 1) − 1) / stride⌋ + 1, or ⌈…⌉.

    Backward: dy to the first largest of each window.

    Raises:
        ValueError: a shape does not fit, or padding is more than half a window.
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool1d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """As `max_pool2d`, over the last axis of ``(N, C, L)`` or ``(C, L)``."""
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window; beyond the edges is 0, which counts as elements unless ``count_include_pad`` is False.

    Arguments and sizes as in `max_pool2d`. ``divisor_override``: what sums are divided by instead.

    Backward: dy over that number, to every element of the window.

    Raises:
        ValueError: a shape does not fit, or padding is more than half a window.
    """
    options = (ceil_mode, count_include_pad, divisor_override)
    return _avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding, *options)


def avg_pool1d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d`, over the last axis of ``(N, C, L)`` or ``(C, L)``."""
    return _avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def _max_pool(
    name: str, axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Tensor:
    x = floating(x)
    images, window, geometry = _windows(name, axes, x, kernel_size, stride, padding, dilation, ceil_mode)
    xp = namespace(images)
    size = geometry.padded(images.shape, window)
    z = xp.full((*images.shape[:2], *size), -np.inf, images.dtype)
    z[geometry.inside(images.shape)] = images
    y = z[geometry.under(0, 0)].copy()
    where = xp.zeros(y.shape, np.int32)  # which element of the window was the first largest
    elements = list(np.ndindex(window[2:]))
    for number, (i, j) in enumerate(elements[1:], 1):
        other = z[geometry.under(i, j)]
        better = (other > y) | np.isnan(other)
        y = np.where(better, other, y)
        where = np.where(better, np.int32(number), where)
    own, shape, dtype, z_shape = x.shape, images.shape, x.dtype, z.shape

    def backward(dy: Any) -> tuple[Any]:
        dy = dy.reshape(where.shape)
        dz = xp.zeros(z_shape, dtype)
        for number, (i, j) in enumerate(elements):
            dz[geometry.under(i, j)] += np.where(where == number, dy, dtype.type(0))
        return (dz[geometry.inside(shape)].reshape(own),)

    return record(name, y.reshape(*own[:-axes], *geometry.output[2 - axes :]), (x,), backward)


def _avg_pool(
    name: str,
    axes: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include: bool,
    divisor: int | None,
) -> Tensor:
    x = floating(x)
    if divisor is not None and divisor < 1:
        raise ValueError(f"{name} divides by a number from 1 up, got divisor_override={divisor}")
    images, window, geometry = _windows(name, axes, x, kernel_size, stride, padding, 1, ceil_mode)
    images = wide(images)
    own, shape, dtype, own_dtype = x.shape, images.shape, images.dtype, x.dtype
    xp = namespace(images)
    z_shape = (*shape[:2], *geometry.padded(shape, window))
    z = xp.zeros(z_shape, dtype)
    z[geometry.inside(shape)] = images
    by = divisor or _counts(shape[2:], window[2:], geometry, include, device_of(images), dtype)
    elements = list(np.ndindex(window[2:]))
    y = xp.zeros((*shape[:2], *geometry.output), dtype)
    for i, j in elements:
        y += z[geometry.under(i, j)]
    y /= by
    y_shape = y.shape

    def backward(dy: Any) -> tuple[Any]:
        share = wide(dy).reshape(y_shape) / by
        dz = xp.zeros(z_shape, dtype)
        for i, j in elements:
            dz[geometry.under(i, j)] += share
        return (dz[geometry.inside(shape)].reshape(own).astype(own_dtype, copy=False),)

    return record(name, narrow(y.reshape(*own[:-axes], *geometry.output[2 - axes :]), x._array), (x,), backward)


def _windows(
    name: str, axes: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Any, tuple[int, ...], Geometry]:
    """The images as (N, C, H, W), the shape of a filter that has the windows' size, and how they lie."""
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(f"{name} wants {axes + 2} axes, or {axes + 1} without a batch, got x of shape {x.shape}")
    k = _pair(name, "kernel_size", kernel_size, axes)
    s = k if stride is None else _pair(name, "stride", stride, axes)
    p, d = _pair(name, "padding", padding, axes), _pair(name, "dilation", dilation, axes)
    if any(2 * pad > size for pad, size in zip(p, k, strict=True)):
        raise ValueError(f"{name} wants a padding of at most half a window, got {padding!r} for {kernel_size!r}")
    lead, sizes = x.shape[: x.ndim - axes], (1, *x.shape[-axes:])[-2:]
    shape = ((1, *lead)[-2:], sizes)
    output = []
    for n, pad, size, step, hole in zip(sizes, p, k, s, d, strict=True):
        room = n + 2 * pad - hole * (size - 1) - 1
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= n + pad:
            count -= 1
        output.append(count)
    if min(output) < 1:
        raise ValueError(f"{name} of x {x.shape} leaves {output}: the image is smaller than a window")
    geometry = Geometry(s, p, d, 1, (output[0], output[1]))
    return x._array.reshape(*shape[0], *shape[1]), (1, 1, *k), geometry


@lru_cache(maxsize=256)
def _counts(size: Any, window: Any, geometry: Geometry, include: bool, device: str, dtype: Any) -> Any:
    """How many elements each window has: a number where all have as many, else an array (OH, OW)."""
    counts = []
    for axis in (0, 1):
        pad = geometry.padding[axis]
        first = np.arange(geometry.output[axis]) * geometry.stride[axis] - pad
        last = np.minimum(first + window[axis], size[axis] + pad)
        if not include:
            first, last = np.maximum(first, 0), np.minimum(last, size[axis])
        counts.append(last - first)
    table = np.multiply.outer(*counts)
    return int(table[0, 0]) if (table == table[0, 0]).all() else moved(table.astype(dtype), device)
