"""Two-dimensional convolution on the GPU: launches of conv2d.cu, and the linear layer's products between them.

Columns of X stand as rows, ``(places of Y, C/groups·KH·KW)``, which is how the linear layer takes them; so many images
at a time that they fill no more than `COLUMNS` bytes. Each group is a product of its own. dW and db are float32.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, ready, suffix, target
from ..linear import cuda as linear

SOURCE = runtime.Source(__file__, "conv2d.cu")
COLUMNS = 256 << 20
MOST_IMAGES = 65_535  # what a grid's third axis takes
TILE = 32


def forward(x, w, b=None, *, geometry):
    geometry.check(x.shape, w.shape)
    x, w = ready(x, x.shape, "x"), ready(w, w.shape, "w")
    b = None if b is None else ready(b, w.shape[:1], "b")
    y = runtime.device().empty((len(x), w.shape[0], *geometry.output), x.dtype)
    for images in _chunks(y, w):
        for inputs, outputs in _groups(w, geometry):
            columns = _columns(x[images, inputs], x, w, geometry)
            bias = None if b is None else b[outputs]
            part = w[outputs]
            rows, _ = linear.forward(columns, part.reshape(len(part), -1), bias)
            _to_planes(rows, y[images, outputs])
    return y


def backward_input(dy, w, x_shape, *, geometry, out=None, accumulate=False):
    geometry.check(x_shape, w.shape, dy.shape)
    dy, w = ready(dy, dy.shape, "dy"), ready(w, w.shape, "w")
    dx = target(out, x_shape, dy.dtype, "out")
    add = int(out is not None and bool(accumulate))
    for images in _chunks(dy, w):
        for inputs, outputs in _groups(w, geometry):
            part = w[outputs]
            columns = linear.backward_input(_to_rows(dy[images, outputs]), part.reshape(len(part), -1))
            _add_columns(columns, dx[images, inputs], dx, w, geometry, add)
    return finish(dx, out)


def backward_weight(dy, x, w_shape, *, geometry, out=None, accumulate=False, db=None, accumulate_db=False):
    geometry.check(x.shape, w_shape, dy.shape)
    dy, x = ready(dy, dy.shape, "dy"), ready(x, x.shape, "x")
    dw = target(out, w_shape, np.float32, "out")
    sums = None if db is None else target(db, w_shape[:1], np.float32, "db")
    add, add_db = out is not None and bool(accumulate), bool(accumulate_db)
    if not len(x):
        for array, adds in ((dw, add), (sums, add_db)):
            if array is not None and not adds:
                array[...] = 0
    for number, images in enumerate(_chunks(dy, dw)):
        for inputs, outputs in _groups(dw, geometry):
            columns, part = _columns(x[images, inputs], x, dw, geometry), dw[outputs]
            linear.backward_weight(
                *(_to_rows(dy[images, outputs]), columns),
                out=part.reshape(len(part), -1),
                accumulate=add or number > 0,
                db=None if sums is None else sums[outputs],
                accumulate_db=add_db or number > 0,
            )
    finish(sums, db)
    return finish(dw, out)


def _chunks(y: Any, w: Any) -> Iterator[slice]:
    """The images, so many at a time that their columns are bounded."""
    each = max(1, y.dtype.itemsize * y.shape[2] * y.shape[3] * w[0].size)
    count = min(MOST_IMAGES, max(1, COLUMNS // each))
    for first in range(0, len(y), count):
        yield slice(first, min(first + count, len(y)))


def _groups(w: Any, geometry: Any) -> Iterator[tuple[slice, slice]]:
    """Each group's channels of X and of Y."""
    inputs, outputs = w.shape[1], w.shape[0] // geometry.groups
    for g in range(geometry.groups):
        yield slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)


def _columns(part: Any, x: Any, w: Any, geometry: Any) -> Any:
    """``part``: some images and channels of x."""
    places = len(part) * geometry.output[0] * geometry.output[1]
    columns = runtime.device().empty((places, part.shape[1] * w.shape[2] * w.shape[3]), x.dtype)
    _launch("columns", (part, columns), columns, part, x, w, geometry)
    return columns


def _add_columns(columns: Any, part: Any, dx: Any, w: Any, geometry: Any, accumulate: int) -> None:
    """Sum into ``part``, some images and channels of dx, the gradients of what was gathered from there."""
    _launch("images", (columns, part), part, part, dx, w, geometry, accumulate)


def _launch(name: str, arrays: tuple, made: Any, part: Any, whole: Any, w: Any, geometry: Any, *more: int) -> None:
    runtime.launch(
        SOURCE[f"conv2d_{name}_{suffix(made, 'conv2d')}"],
        grid=(runtime.blocks(made.size, 256, 16),),
        block=(256,),
        arguments=(
            *(*arrays, made.size, part.shape[1], whole.shape[1], *whole.shape[2:], *w.shape[2:], *geometry.output),
            *(*geometry.stride, *geometry.padding, *geometry.dilation, *more),
        ),
    )


def _to_rows(planes: Any) -> Any:
    """(N, O, OH, OW), some channels of an image in C order, as (N·OH·OW, O)."""
    n, channels, height, width = planes.shape
    rows = runtime.device().empty((n * height * width, channels), planes.dtype)
    image = planes.strides[0] // planes.itemsize
    _transpose(planes, rows, n, channels, height * width, image, channels * height * width)
    return rows


def _to_planes(rows: Any, planes: Any) -> None:
    n, channels, height, width = planes.shape
    image = planes.strides[0] // planes.itemsize
    _transpose(rows, planes, n, height * width, channels, channels * height * width, image)


def _transpose(source: Any, result: Any, count: int, rows: int, columns: int, from_step: int, to_step: int) -> None:
    """``count`` matrices of rows × columns, which lie so many elements apart."""
    runtime.launch(
        SOURCE[f"conv2d_transpose_{suffix(source, 'conv2d')}"],
        grid=(-(-columns // TILE), -(-rows // TILE), count),
        block=(TILE * 8,),
        arguments=(source, result, rows, columns, from_step, to_step),
    )
