"""Adam and AdamW in plain NumPy: the specification."""

import math

import numpy as np


def step(theta, grad, m, v, *, lr, betas, eps, weight_decay, step, grad_scale=1.0, decoupled=True, v_max=None):
    beta1, beta2 = betas
    g = grad * theta.dtype.type(grad_scale)
    if not decoupled:
        g += weight_decay * theta
    new_m = m * beta1 + (1 - beta1) * g
    new_v = v * beta2 + (1 - beta2) * g * g
    largest = new_v if v_max is None else np.maximum(v_max, new_v)
    kept = theta * (1 - lr * weight_decay) if decoupled else theta
    new_theta = kept - lr / (1 - beta1**step) * new_m / (np.sqrt(largest) / math.sqrt(1 - beta2**step) + eps)
    # Written once all is there, so that memory that runs out leaves no half of an update.
    m[...], v[...], theta[...] = new_m, new_v, new_theta
    if v_max is not None:
        v_max[...] = largest
