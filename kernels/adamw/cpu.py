"""One step of Adam or AdamW for float32, in one pass over the four vectors."""

import math

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


def step(theta, grad, m, v, *, lr, betas, eps, weight_decay, step, grad_scale=1.0, decoupled=True, v_max=None):
    shape = theta.shape
    grad = ready(grad, shape, "grad")
    written = target(theta, shape, "theta"), target(m, shape, "m"), target(v, shape, "v")
    beta1, beta2 = betas
    vectors = (written[0].reshape(-1), grad.reshape(-1), written[1].reshape(-1), written[2].reshape(-1))
    numbers = (
        *(float(grad_scale), 0.0 if decoupled else float(weight_decay), 1 - lr * weight_decay if decoupled else 1.0),
        *(float(beta1), 1.0 - beta1, float(beta2), 1.0 - beta2),
        *(lr / (1.0 - beta1**step), 1.0 / math.sqrt(1.0 - beta2**step), float(eps)),
    )
    if v_max is None:
        _step(pieces(theta.size), *vectors, *numbers)
    else:
        largest = target(v_max, shape, "v_max")
        _amsgrad_step(pieces(theta.size), *vectors, largest.reshape(-1), *numbers)
        finish(largest, v_max)
    for array, out in zip(written, (theta, m, v), strict=True):
        finish(array, out)


@parallel
def _step(t, nt, theta, grad, m, v, scale, coupled, decay, beta1, rest1, beta2, rest2, rate, root_scale, eps):
    lo, hi = split(theta.size, t, nt)
    theta, grad, m, v = theta[lo:hi], grad[lo:hi], m[lo:hi], v[lo:hi]
    scale, coupled, decay = np.float32(scale), np.float32(coupled), np.float32(decay)
    beta1, rest1, beta2, rest2 = np.float32(beta1), np.float32(rest1), np.float32(beta2), np.float32(rest2)
    rate, root_scale, eps = np.float32(rate), np.float32(root_scale), np.float32(eps)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (coupled * theta[i] if coupled != 0 else zero)
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * g * g
        theta[i] = theta[i] * decay - rate * m[i] / (np.sqrt(v[i]) * root_scale + eps)


@parallel
def _amsgrad_step(
    t, nt, theta, grad, m, v, v_max, scale, coupled, decay, beta1, rest1, beta2, rest2, rate, root_scale, eps
):
    lo, hi = split(theta.size, t, nt)
    theta, grad, m, v, v_max = theta[lo:hi], grad[lo:hi], m[lo:hi], v[lo:hi], v_max[lo:hi]
    scale, coupled, decay = np.float32(scale), np.float32(coupled), np.float32(decay)
    beta1, rest1, beta2, rest2 = np.float32(beta1), np.float32(rest1), np.float32(beta2), np.float32(rest2)
    rate, root_scale, eps = np.float32(rate), np.float32(root_scale), np.float32(eps)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (coupled * theta[i] if coupled != 0 else zero)
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * g * g
        v_max[i] = v_max[i] if v_max[i] >= v[i] or v_max[i] != v_max[i] else v[i]  # NaN stays NaN, from either
        theta[i] = theta[i] * decay - rate * m[i] / (np.sqrt(v_max[i]) * root_scale + eps)
