"""Gradient descent with momentum in plain NumPy: the specification."""


def step(
    theta,
    grad,
    buf,
    *,
    lr,
    momentum=0.0,
    dampening=0.0,
    weight_decay=0.0,
    nesterov=False,
    first=False,
    grad_scale=1.0,
    decoupled=False,
):
    g = grad * theta.dtype.type(grad_scale)
    if weight_decay and not decoupled:
        g += weight_decay * theta
    if momentum:
        if first:
            buf[...] = g
        else:
            buf *= momentum
            buf += (1 - dampening) * g
        g = g + momentum * buf if nesterov else buf
    if decoupled:
        theta *= 1 - lr * weight_decay
    theta -= lr * g
