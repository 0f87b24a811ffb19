"""Adam and AdamW in plain NumPy: the specification."""

import math

import numpy as np


def step(theta, grad, m, v, *, lr, betas, eps, weight_decay, step, grad_scale=1.0, decoupled=True, v_max=None):
    beta1, beta2 = betas
    g = grad * theta.dtype.type(grad_scale)
    if not decoupled:
        g += weight_decay * theta
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    if v_max is not None:
        np.maximum(v_max, v, out=v_max)
        v = v_max
    if decoupled:
        theta *= 1 - lr * weight_decay
    theta -= lr / (1 - beta1**step) * m / (np.sqrt(v) / math.sqrt(1 - beta2**step) + eps)
