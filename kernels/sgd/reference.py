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
    new_buf = g if first or not momentum else momentum * buf + (1 - dampening) * g
    direction = g + momentum * new_buf if momentum and nesterov else new_buf
    kept = theta * (1 - lr * weight_decay) if decoupled else theta
    new_theta = kept - lr * direction
    # Written once all is there, so that memory that runs out leaves no half of an update.
    theta[...] = new_theta
    if momentum:
        buf[...] = new_buf
