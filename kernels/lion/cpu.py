"""One step of Lion for float32, in one pass over the three vectors."""

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


def step(theta, grad, m, *, lr, betas, weight_decay, grad_scale=1.0):
    shape = theta.shape
    grad = ready(grad, shape, "grad")
    moved, kept = target(theta, shape, "theta"), target(m, shape, "m")
    beta1, beta2 = betas
    _step(
        pieces(theta.size),
        *(moved.reshape(-1), grad.reshape(-1), kept.reshape(-1)),
        *(float(grad_scale), 1.0 - lr * weight_decay, float(lr)),
        *(float(beta1), 1.0 - beta1, float(beta2), 1.0 - beta2),
    )
    finish(moved, theta)
    finish(kept, m)


@parallel
def _step(t, nt, theta, grad, m, scale, decay, lr, beta1, rest1, beta2, rest2):
    lo, hi = split(theta.size, t, nt)
    theta, grad, m = theta[lo:hi], grad[lo:hi], m[lo:hi]
    scale, decay, lr = np.float32(scale), np.float32(decay), np.float32(lr)
    beta1, rest1, beta2, rest2 = np.float32(beta1), np.float32(rest1), np.float32(beta2), np.float32(rest2)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i]
        u = beta1 * m[i] + rest1 * g
        sign = np.float32(1) if u > zero else (np.float32(-1) if u < zero else u)  # of 0 it is 0, of NaN NaN
        theta[i] = decay * theta[i] - lr * sign
        m[i] = beta2 * m[i] + rest2 * g
