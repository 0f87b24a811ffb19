"""Lion in plain NumPy: the specification."""

import numpy as np


def step(theta, grad, m, *, lr, betas, weight_decay, grad_scale=1.0):
    beta1, beta2 = betas
    g = grad * theta.dtype.type(grad_scale)
    direction = np.sign(beta1 * m + (1 - beta1) * g)
    theta *= 1 - lr * weight_decay
    theta -= lr * direction
    m *= beta2
    m += (1 - beta2) * g
