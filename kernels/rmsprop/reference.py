"""RMSprop and Adagrad in plain NumPy: the specification."""

import numpy as np


def step(
    theta,
    grad,
    v,
    buf=None,
    mean=None,
    *,
    lr,
    keep,
    rest,
    eps,
    start=0.0,
    momentum=0.0,
    weight_decay=0.0,
    grad_scale=1.0,
):
    g = grad * theta.dtype.type(grad_scale)
    if weight_decay:
        g += weight_decay * theta
    v *= keep
    v += rest * g * g + start
    spread = v
    if mean is not None:
        mean *= keep
        mean += rest * g
        spread = np.maximum(v - mean * mean, 0)
    u = g / (np.sqrt(spread) + eps)
    if buf is not None:
        buf *= momentum
        buf += u
        u = buf
    theta -= lr * u
