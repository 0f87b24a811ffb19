"""Two-dimensional convolution in plain NumPy: the specification.

An element (i, j) of the windows at a time: all places that it lies on at once, a strided view of X with zeros around.
"""

import numpy as np

from ..common.products import matmul
from ..common.store import store
from ..common.wide import narrow, wide


def forward(x, w, b=None, *, geometry):
    geometry.check(x.shape, w.shape)
    z, kernel = _padded(wide(x), w.shape, geometry), _grouped(wide(w), geometry)
    y = np.zeros((len(x), w.shape[0], *geometry.output), z.dtype)
    for i, j in np.ndindex(w.shape[2:]):
        y += matmul(kernel[..., i, j], _channels(z[geometry.under(i, j)], geometry)).reshape(y.shape)
    if b is not None:
        y += wide(b)[:, None, None]
    return narrow(y, x)


def backward_input(dy, w, x_shape, *, geometry, out=None, accumulate=False):
    geometry.check(x_shape, w.shape, dy.shape)
    d, kernel = _channels(wide(dy), geometry), _grouped(wide(w), geometry)
    dz = np.zeros((*x_shape[:2], *geometry.padded(x_shape, w.shape)), d.dtype)
    for i, j in np.ndindex(w.shape[2:]):
        under = dz[geometry.under(i, j)]
        under += matmul(kernel[..., i, j].swapaxes(1, 2), d).reshape(under.shape)
    dx = np.ascontiguousarray(dz[geometry.inside(x_shape)])
    return narrow(dx, dy) if out is None else store(dx, out, accumulate)


def backward_weight(dy, x, w_shape, *, geometry, out=None, accumulate=False, db=None, accumulate_db=False):
    geometry.check(x.shape, w_shape, dy.shape)
    d, z = wide(dy), _padded(wide(x), w_shape, geometry)
    if db is not None:
        store(d.sum(axis=(0, 2, 3)), db, accumulate_db)
    dw = np.zeros(w_shape, d.dtype)
    kernel, d = _grouped(dw, geometry), _channels(d, geometry)
    for i, j in np.ndindex(w_shape[2:]):
        windows = _channels(z[geometry.under(i, j)], geometry)
        kernel[..., i, j] = matmul(d, windows.swapaxes(2, 3)).sum(axis=0)
    return store(dw, out, accumulate)


def _padded(x, w_shape, geometry):
    z = np.zeros((*x.shape[:2], *geometry.padded(x.shape, w_shape)), x.dtype)
    z[geometry.inside(x.shape)] = x
    return z


def _grouped(w, geometry):
    """(groups, O/groups, C/groups, KH, KW): a view."""
    return w.reshape(geometry.groups, w.shape[0] // geometry.groups, *w.shape[1:])


def _channels(images, geometry):
    """(N, groups, C/groups, places)."""
    n, channels = images.shape[:2]
    return images.reshape(n, geometry.groups, channels // geometry.groups, images.shape[2] * images.shape[3])
