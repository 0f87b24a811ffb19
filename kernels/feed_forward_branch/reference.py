"""The branch in plain NumPy: its operations one after the other."""

import numpy as np

from ..common.store import store
from ..layer_norm import reference as layer_norm
from ..linear import reference as linear
from ..linear import separately


def forward(x, norm, fc, proj, *, activation, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1])
    n, mean, rstd = layer_norm.forward(rows, *norm, eps=eps)
    h, z = linear.forward(n, *fc, activation=activation)
    y, _ = linear.forward(h, *proj, residual=rows)
    return y.reshape(x.shape), (mean, rstd, n, h, z)


def backward(dy, x, saved, norm, fc, proj, *, activation, out, accumulate=(False,) * 7):
    mean, rstd, n, h, z = saved
    dx, dnorm_w, dnorm_b, dw1, db1, dw2, db2 = out
    add_x, add_norm_w, add_norm_b, add_w1, add_b1, add_w2, add_b2 = accumulate
    rows, du, dn = dy.reshape(n.shape), np.empty_like(h), np.empty_like(n)
    separately.backward(linear, rows, h, proj[0], None, None, activation, z, (du, dw2, db2), (False, add_w2, add_b2))
    separately.backward(linear, du, n, fc[0], None, None, None, None, (dn, dw1, db1), (False, add_w1, add_b1))
    past = store(dy.copy(), dx, add_x)
    written = {"dx": past.reshape(n.shape), "dw": dnorm_w, "db": dnorm_b}
    adds = True, add_norm_w, add_norm_b
    layer_norm.backward(dn, x.reshape(n.shape), norm[0], mean, rstd, **written, accumulate=adds)
