"""A step by two means for float32, in one pass over the vectors."""

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


def step(
    theta,
    grad,
    m,
    v,
    *,
    betas,
    by_grad,
    by_mean,
    root_scale,
    eps,
    shrink=1.0,
    weight_decay=0.0,
    grad_scale=1.0,
):
    shape, (beta1, beta2) = theta.shape, betas
    grad = ready(grad, shape, "grad")
    outs = {"theta": theta, "m": m, "v": v}
    written = {name: target(out, shape, name) for name, out in outs.items()}
    _step(
        pieces(theta.size),
        *(grad.reshape(-1), *(array.reshape(-1) for array in written.values())),
        *(float(grad_scale), float(weight_decay), float(shrink)),
        *(float(beta1), 1.0 - beta1, float(beta2), 1.0 - beta2),
        *(float(by_grad), float(by_mean), float(root_scale), float(eps)),
    )
    for name, out in outs.items():
        finish(written[name], out)


@parallel
def _step(
    t, nt, grad, theta, m, v, scale, coupled, shrink, beta1, rest1, beta2, rest2, by_grad, by_mean, root_scale, eps
):
    lo, hi = split(theta.size, t, nt)
    grad, theta, m, v = grad[lo:hi], theta[lo:hi], m[lo:hi], v[lo:hi]
    scale, coupled, shrink = np.float32(scale), np.float32(coupled), np.float32(shrink)
    beta1, rest1, beta2, rest2 = np.float32(beta1), np.float32(rest1), np.float32(beta2), np.float32(rest2)
    by_grad, by_mean, root_scale, eps = (
        np.float32(by_grad),
        np.float32(by_mean),
        np.float32(root_scale),
        np.float32(eps),
    )
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (coupled * theta[i] if coupled != 0 else zero)
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * g * g
        theta[i] = shrink * theta[i] - (by_grad * g + by_mean * m[i]) / (root_scale * np.sqrt(v[i]) + eps)
