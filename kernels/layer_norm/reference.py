"""Layer normalisation in plain NumPy: the specification."""

import numpy as np

from ..common.store import store
from ..common.wide import narrow, wide


def forward(x, w=None, b=None, *, eps=1e-5):
    z, w, b = wide(x), wide(w), wide(b)
    mean = z.mean(axis=1)
    centred = z - mean[:, None]
    rstd = 1 / np.sqrt((centred * centred).mean(axis=1) + float(eps))
    y = centred * rstd[:, None]
    if w is not None:
        y *= w
    if b is not None:
        y += b
    return narrow(y, x), mean, rstd


def backward(dy, x, w, mean, rstd, *, dx=None, dw=None, db=None, accumulate=(False, False, False)):
    dy, x, w = wide(dy), wide(x), wide(w)
    normed = (x - mean[:, None]) * rstd[:, None]
    if dx is not None:
        d = dy if w is None else dy * w
        along = (d * normed).mean(axis=1, keepdims=True)
        store((d - d.mean(axis=1, keepdims=True) - normed * along) * rstd[:, None], dx, accumulate[0])
    if dw is not None:
        store((dy * normed).sum(axis=0), dw, accumulate[1])
    if db is not None:
        store(dy.sum(axis=0), db, accumulate[2])
