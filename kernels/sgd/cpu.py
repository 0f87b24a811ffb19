"""One step of gradient descent with momentum for float32, in one pass over the vectors."""

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


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
    shape = theta.shape
    grad, moved = ready(grad, shape, "grad"), target(theta, shape, "theta")
    coupled, shrunk = (0.0, 1.0 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    if momentum:
        kept = target(buf, shape, "buf")
        if first:
            kept[...] = 0
        share, own, held = (1.0 if first else 1.0 - dampening), *((1.0, momentum) if nesterov else (0.0, 1.0))
        _step_with_momentum(
            pieces(theta.size),
            *(moved.reshape(-1), grad.reshape(-1), kept.reshape(-1)),
            *(float(grad_scale), float(coupled), float(shrunk), float(momentum)),
            *(float(share), float(lr * own), float(lr * held)),
        )
        finish(kept, buf)
    else:
        _step(
            *(pieces(theta.size), moved.reshape(-1), grad.reshape(-1)),
            *(float(grad_scale), float(coupled), float(shrunk), float(lr)),
        )
    finish(moved, theta)


@parallel
def _step(t, nt, theta, grad, scale, coupled, shrunk, lr):
    lo, hi = split(theta.size, t, nt)
    theta, grad = theta[lo:hi], grad[lo:hi]
    scale, coupled, shrunk, lr = np.float32(scale), np.float32(coupled), np.float32(shrunk), np.float32(lr)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (coupled * theta[i] if coupled != 0 else zero)
        theta[i] = shrunk * theta[i] - lr * g


@parallel
def _step_with_momentum(t, nt, theta, grad, buf, scale, coupled, shrunk, momentum, share, own, held):
    """``own`` and ``held``: how much of the gradient itself and of the buffer goes into the step, times lr."""
    lo, hi = split(theta.size, t, nt)
    theta, grad, buf = theta[lo:hi], grad[lo:hi], buf[lo:hi]
    scale, coupled, shrunk, momentum = np.float32(scale), np.float32(coupled), np.float32(shrunk), np.float32(momentum)
    share, own, held = np.float32(share), np.float32(own), np.float32(held)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (coupled * theta[i] if coupled != 0 else zero)
        buf[i] = momentum * buf[i] + share * g
        theta[i] = shrunk * theta[i] - ((own * g if own != 0 else zero) + held * buf[i])
