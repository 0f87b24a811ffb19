"""A step by two means in plain NumPy: the specification."""

import numpy as np


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
    beta1, beta2 = betas
    g = grad * theta.dtype.type(grad_scale)
    if weight_decay:
        g += weight_decay * theta
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    theta *= shrink
    theta -= (by_grad * g + by_mean * m) / (root_scale * np.sqrt(v) + eps)
