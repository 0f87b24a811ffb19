"""Root mean square normalisation in plain NumPy: the specification."""

import numpy as np

from ..common.store import store
from ..common.wide import narrow, wide


def forward(x, w=None, *, eps=1e-6):
    z = wide(x)
    rstd = 1 / np.sqrt((z * z).mean(axis=1) + float(eps))
    y = z * rstd[:, None]
    if w is not None:
        y *= wide(w)
    return narrow(y, x), rstd


def backward(dy, x, w, rstd, *, dx=None, dw=None, accumulate=(False, False)):
    dy, normed = wide(dy), wide(x) * rstd[:, None]
    if dx is not None:
        d = dy if w is None else dy * wide(w)
        along = (d * normed).mean(axis=1, keepdims=True)
        store((d - normed * along) * rstd[:, None], dx, accumulate[0])
    if dw is not None:
        store((dy * normed).sum(axis=0), dw, accumulate[1])
