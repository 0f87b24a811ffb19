"""The branch in plain NumPy: its operations one after the other."""

import numpy as np

from ..attention import reference as attention
from ..common.store import store
from ..layer_norm import reference as layer_norm
from ..linear import reference as linear
from ..linear import separately


def forward(x, norm, qkv, proj, *, n_head, causal=True, eps=1e-5):
    rows = x.reshape(-1, x.shape[2])
    n, mean, rstd = layer_norm.forward(rows, *norm, eps=eps)
    packed, _ = linear.forward(n, *qkv)
    o, p = attention.forward(*_heads(packed, x.shape, n_head), causal=causal)
    o = o.swapaxes(1, 2).reshape(rows.shape)
    y, _ = linear.forward(o, *proj, residual=rows)
    return y.reshape(x.shape), (mean, rstd, n, packed, p, o)


def backward(dy, x, saved, norm, qkv, proj, *, n_head, causal=True, out, accumulate=(False,) * 7):
    mean, rstd, n, packed, p, o = saved
    dx, dnorm_w, dnorm_b, dw, db, dw_proj, db_proj = out
    add_x, add_norm_w, add_norm_b, add_w, add_b, add_proj, add_b_proj = accumulate
    rows = dy.reshape(n.shape)
    do, dpacked, dn = np.empty_like(o), np.empty_like(packed), np.empty_like(n)
    undone = None, None, None, None
    separately.backward(linear, rows, o, proj[0], *undone, (do, dw_proj, db_proj), (False, add_proj, add_b_proj))
    batch, time, width = x.shape
    by_head = do.reshape(batch, time, n_head, width // n_head).swapaxes(1, 2)
    q, k, v = _heads(packed, x.shape, n_head)
    attention.backward(by_head, q, k, v, p, causal=causal, out=_heads(dpacked, x.shape, n_head))
    separately.backward(linear, dpacked, n, qkv[0], *undone, (dn, dw, db), (False, add_w, add_b))
    past = store(dy.copy(), dx, add_x)
    written = {"dx": past.reshape(n.shape), "dw": dnorm_w, "db": dnorm_b}
    adds = True, add_norm_w, add_norm_b
    layer_norm.backward(dn, x.reshape(n.shape), norm[0], mean, rstd, **written, accumulate=adds)


def _heads(packed, shape, n_head):
    """Views (B, H, T, D) of the queries, keys and values."""
    batch, time, width = shape
    return tuple(packed.reshape(batch, time, 3, n_head, width // n_head).transpose(2, 0, 3, 1, 4))
