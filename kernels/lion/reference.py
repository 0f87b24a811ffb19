"""Lion in plain NumPy: the specification."""

import numpy as np


def step(theta, grad, m, *, lr, betas, weight_decay, grad_scale=1.0):
    beta1, beta2 = betas
    g = grad * theta.dtype.type(grad_scale)
    direction = np.sign(beta1 * m + (1 - beta1) * g)
    new_theta = theta * (1 - lr * weight_decay) - lr * direction
    new_m = m * beta2 + (1 - beta2) * g
    # Written once all is there, so that memory that runs out leaves no half of an update.
    theta[...], m[...] = new_theta, new_m
