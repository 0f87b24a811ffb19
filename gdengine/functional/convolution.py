"""Convolutions over one and two axes, and the transposed one."""

from typing import Any

import numpy as np

from .. import kernels
from ..kernels.common.store import store
from ..kernels.conv2d import Geometry
from ..precision import operand, sum_dtype
from ..tensor import Tensor, record
from .linear import check_alike

Pair = int | tuple[int, ...] | list[int]


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of images with filters (cross-correlation): see `gdengine.kernels.conv2d` for the formula.

    Args:
        x: ``(N, C, H, W)``, or ``(C, H, W)``.
        weight: ``(O, C/groups, KH, KW)``.
        bias: ``(O,)`` or None.
        stride, dilation: a number, or (vertical, horizontal).
        padding: zeros around the image, likewise; ``"valid"`` for none, ``"same"`` for as many as keep the size (with
            an odd number of them the one more stands below and at the right; wants stride 1).
        groups: output channels read the input channels of their own group only.

    Returns:
        ``(N, O, OH, OW)`` with OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1.

    Raises:
        ValueError: a shape does not fit, or nothing is left of the image.
        TypeError: the dtypes differ.
    """
    return _convolution("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, over one axis: x ``(N, C, L)`` or ``(C, L)``, weight ``(O, C/groups, K)``."""
    return _convolution("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    """The transposed convolution: what `conv2d` with this weight does to gradients, as a forward.

        y[n, o, h, w] = b[o] + Σ_c Σ_i Σ_j weight[c, o, i, j] · x[n, c, ·, ·] wherever (i, j) of a window lies on (h, w)

    Args:
        x: ``(N, C, H, W)``, or ``(C, H, W)``.
        weight: ``(C, O/groups, KH, KW)``.
        bias: ``(O,)`` or None.
        output_padding: rows and columns more at the end: of the sizes that a strided convolution takes to (H, W).

    Returns:
        ``(N, O, OH, OW)`` with OH = (H − 1)·stride − 2·padding + dilation·(KH − 1) + output_padding + 1.

    Raises:
        ValueError: a shape does not fit, or nothing is left.
        TypeError: the dtypes differ.
    """
    name = "conv_transpose2d"
    x, w = operand(x), operand(weight)
    b = None if bias is None else operand(bias)
    x_shape = _batched(name, x.shape, w.shape, 2, x.shape[-3:-2], w.shape[:1])
    check_alike(name, x=x, weight=w, bias=b)
    steps, pads, holes = (_pair(name, *of) for of in (("stride", stride), ("padding", padding), ("dilation", dilation)))
    more = _pair(name, "output_padding", output_padding, least=0)
    if any(extra >= max(step, hole) for extra, step, hole in zip(more, steps, holes, strict=True)):
        raise ValueError(f"output_padding must be smaller than stride or dilation, got {more} with stride {steps}")
    channels, out = w.shape[0], w.shape[1] * groups
    _check_groups(name, channels, out, groups)
    _check_bias(name, b, out)
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, s, p, d, k, extra in zip(x_shape[2:], steps, pads, holes, w.shape[2:], more, strict=True)
    )
    _check_size(name, size, x.shape, w.shape)
    geometry = Geometry(steps, pads, holes, groups, (x_shape[2], x_shape[3]))
    images, kernel, own, dtype, w_shape = x._array.reshape(x_shape), w._array, x.shape, x.dtype, w.shape
    y_shape = (x_shape[0], out, *size)
    y = kernels.conv2d.backward_input(images, kernel, y_shape, geometry=geometry)
    if b is not None:
        y += b._array[:, None, None]
    summed = sum_dtype(dtype)

    def backward(dy: Any, into: Any) -> None:
        dy = dy.reshape(y_shape)
        dx, add_x = into(0, own, dtype)
        if dx is not None:
            store(kernels.conv2d.forward(dy, kernel, geometry=geometry), dx.reshape(x_shape), add_x)
        (dw, add_w), (db, add_b) = into(1, w_shape, summed), into(2, (out,), summed)
        if dw is not None:
            kernels.conv2d.backward_weight(images, dy, w_shape, geometry=geometry, out=dw, accumulate=add_w)
        if db is not None:
            store(dy.astype(summed, copy=False).sum(axis=(0, 2, 3)), db, add_b)

    return record(name, y.reshape(*own[:-3], out, *size), (x, w, b), backward, keeps=(x, w), direct=True)


def _convolution(
    name: str, axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    x, w = operand(x), operand(weight)
    b = None if bias is None else operand(bias)
    channels = tuple(n * groups for n in w.shape[1:2])
    x_shape = _batched(name, x.shape, w.shape, axes, x.shape[-1 - axes : x.ndim - axes], channels)
    check_alike(name, x=x, weight=w, bias=b)
    steps, holes = _pair(name, "stride", stride, axes), _pair(name, "dilation", dilation, axes)
    first, last = _padding(name, padding, axes, steps, holes, (1, *w.shape[2:])[-2:])
    _check_groups(name, x_shape[1], w.shape[0], groups)
    _check_bias(name, b, w.shape[0])
    w_shape, out = (*w.shape[:2], *(1,) * (2 - axes), *w.shape[2:]), w.shape[0]
    size = tuple(
        (n + p + q - d * (k - 1) - 1) // s + 1
        for n, p, q, d, k, s in zip(x_shape[2:], first, last, holes, w_shape[2:], steps, strict=True)
    )
    _check_size(name, size, x.shape, w.shape)
    geometry = Geometry(steps, first, holes, groups, size)
    images, kernel, own, dtype, w_own = x._array.reshape(x_shape), w._array.reshape(w_shape), x.shape, x.dtype, w.shape
    y = kernels.conv2d.forward(images, kernel, None if b is None else b._array, geometry=geometry)
    y_shape, summed = y.shape, sum_dtype(dtype)

    def backward(dy: Any, into: Any) -> None:
        dy = dy.reshape(y_shape)
        dx, add = into(0, own, dtype)
        if dx is not None:
            out_x = dx.reshape(x_shape)
            kernels.conv2d.backward_input(dy, kernel, x_shape, geometry=geometry, out=out_x, accumulate=add)
        (dw, add_w), (db, add_b) = into(1, w_own, summed), into(2, (out,), summed)
        if dw is not None:
            options = {"out": dw.reshape(w_shape), "accumulate": add_w, "db": db, "accumulate_db": add_b}
            kernels.conv2d.backward_weight(dy, images, w_shape, geometry=geometry, **options)
        elif db is not None:
            store(dy.astype(summed, copy=False).sum(axis=(0, 2, 3)), db, add_b)

    shape = (*own[: -1 - axes], out, *size[2 - axes :])
    return record(name, y.reshape(shape), (x, w, b), backward, keeps=(x, w), direct=True)


def _batched(name: str, x: Any, w: Any, axes: int, channels: Any, expected: Any) -> tuple[int, ...]:
    """The shape of x as (N, C, H, W)."""
    if len(w) != axes + 2 or len(x) not in (axes + 1, axes + 2) or tuple(channels) != tuple(expected):
        last = len(x) == axes + 2 and x[-1:] == tuple(expected)
        raise ValueError(
            f"{name} got x of shape {x} and a weight of shape {w}: it wants {axes + 2} axes of each (x may lack its "
            f"first), and {expected[0] if expected else 'as many'} channels in x"
            + (f": they are its last axis, so write np.moveaxis(x, -1, {-1 - axes})" if last else "")
        )
    return (1,) * (axes + 2 - len(x)) + tuple(x[: len(x) - axes]) + (1,) * (2 - axes) + tuple(x[len(x) - axes :])


def _pair(name: str, what: str, value: Any, axes: int = 2, least: int | None = None) -> tuple[int, int]:
    """(vertical, horizontal); with one axis the vertical one is what changes nothing."""
    least = (0 if what == "padding" else 1) if least is None else least
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    if len(values) != axes or not all(isinstance(v, int | np.integer) and v >= least for v in values):
        raise ValueError(f"{name} wants {what} as a whole number from {least} up, or {axes} of them; got {value!r}")
    numbers = tuple(int(v) for v in values)
    return (numbers[0], numbers[1]) if axes == 2 else (least if what != "padding" else 0, numbers[0])


def _padding(
    name: str, padding: Any, axes: int, stride: tuple[int, int], dilation: tuple[int, int], window: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros before and behind, for each axis."""
    if not isinstance(padding, str):
        both = _pair(name, "padding", padding, axes)
        return both, both
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding != "same":
        raise ValueError(f"{name} wants a padding that is a number, 'valid' or 'same'; got {padding!r}")
    if stride != (1, 1):
        raise ValueError(f"{name} with padding='same' keeps the size, which stride {stride} does not: give numbers")
    total = [d * (k - 1) for d, k in zip(dilation, window, strict=True)]
    first = (total[0] // 2, total[1] // 2)
    return first, (total[0] - first[0], total[1] - first[1])


def _check_groups(name: str, channels: int, out: int, groups: int) -> None:
    if groups < 1 or channels % groups or out % groups:
        raise ValueError(f"{name} cuts {channels} input and {out} output channels into groups={groups}: not evenly")


def _check_bias(name: str, b: Tensor | None, out: int) -> None:
    if b is not None and b.shape != (out,):
        raise ValueError(f"{name} wants a bias of shape ({out},), got {b.shape}")


def _check_size(name: str, size: Any, x: Any, w: Any) -> None:
    if min(size) < 1:
        raise ValueError(f"{name} of x {x} with a weight {w} leaves {size}: the image is too small for its windows")
